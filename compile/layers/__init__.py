"""Layers: functions that turn values into values, one family per file."""

from .attention import (
    Masked,
    add_mask,
    attention,
    causal,
    decoder_block,
    encoder_block,
    fill_mask,
    masked_softmax,
    multi_head_attention,
    softmax,
)
from .convolution import conv, conv_transpose
from .normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from .pooling import adaptive_average_pool, adaptive_max_pool, average_pool, max_pool
from .recurrent import gru, lstm, rnn
from .resize import Sampling, resize

__all__ = [
    "Masked",
    "Sampling",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "add_mask",
    "attention",
    "average_pool",
    "batch_norm",
    "causal",
    "conv",
    "conv_transpose",
    "decoder_block",
    "encoder_block",
    "fill_mask",
    "group_norm",
    "gru",
    "instance_norm",
    "layer_norm",
    "lstm",
    "masked_softmax",
    "max_pool",
    "multi_head_attention",
    "resize",
    "rms_norm",
    "rnn",
    "softmax",
]
