"""A kernel for CUDA devices, written for one circuit: each trajectory has a thread, part of a warp, or a block."""
