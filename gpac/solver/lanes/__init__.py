"""Compiled code for the processor: one trajectory a lane of its vector registers."""
