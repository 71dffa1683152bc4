"""GRU and LSTM in continuous time, for an input x that is held (or moves with t: compose the field).

GRU: h' = (1 - z) (n - h), which is GRU(h, x) - h: the usual GRU is its Euler step of size 1.

LSTM: c' = (f - 1) c + i g and h = o tanh(c), where the gate o = sigmoid(W x + U h + b) itself reads h, so that h is
given by an equation and not by a formula. Differentiated it is (I - diag(tanh(c) o (1 - o)) U) h' = ..., linear in h'
and no polynomial system without the inverse of that matrix. The lagged form h' = rate (o tanh(c) - h) has none of
this; the usual LSTM is its step of size 1 at rate 1, in which h reads the new c.

Sources: De Brouwer, Simm, Arany and Moreau, NeurIPS 2019 (arXiv 1905.12374); Hochreiter and Schmidhuber 1997.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpac.errors import CircuitError

from ..build import as_network, concatenate
from ..field import Field
from ..layers.recurrent import Cell, gru
from ..network import Network
from ..operations import Affine
from ..value import network_input, selection
from .steps import positive, weighted


def gru_field(cell: Cell, reset_after: bool = True) -> Field:
    """h' = (1 - z) (n - h) with PyTorch's gates (reset, update, new) of `cell`; reads (state, input).

    With `reset_after` (PyTorch) n = tanh(W x + b + r (U h + c)), else n = tanh(W x + b + U (r h) + c). |h_i| stays at
    most max(1, |h_i(0)|).
    """
    n = cell.hidden
    parts = network_input((n + cell.input_weight.shape[1],))
    h, x = parts[:n], parts[n:]
    after = gru(x.reshape(1, -1), [[cell]], h.reshape(1, -1), reset_after).hidden.reshape(-1)
    return Field(as_network(after - h, "continuous GRU"), ("state", "input"))


def lstm_field(cell: Cell, lag: Any = None) -> Field:
    """c' = (f - 1) c + i g, h' = lag (o tanh(c) - h) on the state (c, h); PyTorch's gates (i, f, g, o) of `cell`.

    Parameters
    ----------
    lag : exact positive number
        The rate at which h follows o tanh(c). Unit: 1 / time.

    Raises
    ------
    CircuitError
        Without `lag`: h = o tanh(c) depends on itself through o.
    """
    if lag is None:
        raise CircuitError(
            "a continuous LSTM is implicit: h = o tanh(c), and the gate o = sigmoid(W x + U h + b) reads h itself; "
            "give lag=rate for the lagged form h' = rate (o tanh(c) - h), which tends to it as the rate grows"
        )
    rate, n = positive(lag, "lag"), cell.hidden
    parts = network_input((2 * n + cell.input_weight.shape[1],))
    c, h, x = parts[:n], parts[n : 2 * n], parts[2 * n :]
    i, f, o = (cell.gate(k, x, h).apply("sigmoid") for k in (0, 1, 3))
    moving = weighted((1, f * c), (-1, c), (1, i * cell.gate(2, x, h).apply("tanh")))
    followed = weighted((rate, o * c.apply("tanh")), (-rate, h))
    return Field(as_network(concatenate([moving, followed]), "lagged LSTM"), ("state", "input"))


def hidden_state(cell: Cell) -> Network:
    """The read-out h of the state (c, h) of `lstm_field`."""
    n = cell.hidden
    return Network(2 * n, [Affine((selection(np.arange(n, 2 * n), 2 * n),), np.zeros(1))], "h of (c, h)")
