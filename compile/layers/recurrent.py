"""RNN, GRU and LSTM over a given sequence, unrolled; the definitions and the order of gates are PyTorch's.

A `Cell` is one layer in one direction. States start at zero unless given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import exact_array, to_fractions

from ..build import concatenate
from ..value import Value, affine, constant


@dataclass(frozen=True, eq=False)
class Cell:
    """Weights of one layer in one direction: (g H, n), (g H, H), and biases (g H,), for g gates."""

    input_weight: np.ndarray
    hidden_weight: np.ndarray
    input_bias: Any = None
    hidden_bias: Any = None

    @property
    def hidden(self) -> int:
        """Number H of hidden units."""
        return self.hidden_weight.shape[1]

    def gate(self, number: int, x: Value, h: Value | None) -> Value:
        """W x + U h + b of one gate."""
        rows = slice(number * self.hidden, (number + 1) * self.hidden)
        bias = _exact_sum(_part(self.input_bias, rows), _part(self.hidden_bias, rows))
        terms = [(self.input_weight[rows], x)] + ([(self.hidden_weight[rows], h)] if h else [])
        return affine(terms, bias, (self.hidden,))

    def parts(self, number: int, x: Value, h: Value | None) -> tuple[Value, Value]:
        """W x + b and U h + c of one gate, apart."""
        rows = slice(number * self.hidden, (number + 1) * self.hidden)
        own = affine([(self.input_weight[rows], x)], _part(self.input_bias, rows), (self.hidden,))
        terms = [(self.hidden_weight[rows], h)] if h else []
        offset = np.broadcast_to(_part(self.hidden_bias, rows), (self.hidden,))
        return own, affine(terms, offset, (self.hidden,))


@dataclass(frozen=True, eq=False)
class Run:
    """What a recurrent layer gives: the last layer's h at all times (T, H) or (T, 2 H), and the last states.

    `hidden` and `cells` are (layers * directions, H); `cells` only for an LSTM.
    """

    output: Value
    hidden: Value
    cells: Value | None = None


State = tuple[Value | None, Value | None]
MOST_STEPS = 2**12
"""Every step becomes layers of its own."""
Step = Callable[[Cell, Value, State], State]


def rnn(x: Value, layers: Sequence[Sequence[Cell]], initial: Any = None, activation: str = "tanh") -> Run:
    """h' = tanh(W x + U h + b) over x (T, n); `layers` holds one or two (forward, backward) cells per layer.

    `initial` is (layers * directions, H).
    """

    def step(cell: Cell, x: Value, state: State) -> State:
        return cell.gate(0, x, state[0]).apply(activation), None

    return _stacked(x, layers, initial, None, step)


def lstm(x: Value, layers: Sequence[Sequence[Cell]], initial: Any = None, cells: Any = None) -> Run:
    """LSTM over x (T, n): gates in the order input, forget, cell, output. `cells` are the initial c."""

    def step(cell: Cell, x: Value, state: State) -> State:
        h, c = state
        gates = [cell.gate(k, x, h) for k in range(4)]
        i, f, o = (gates[k].apply("sigmoid") for k in (0, 1, 3))
        fresh = i * gates[2].apply("tanh")
        c = fresh if c is None else f * c + fresh
        return o * c.apply("tanh"), c

    return _stacked(x, layers, initial, cells, step)


def gru(x: Value, layers: Sequence[Sequence[Cell]], initial: Any = None, reset_after: bool = True) -> Run:
    """GRU over x (T, n): gates in the order reset, update, new; h' = (1 - z) n + z h.

    With `reset_after` (PyTorch) n = tanh(W x + b + r (U h + c)), else n = tanh(W x + b + U (r h) + c).
    """

    def step(cell: Cell, x: Value, state: State) -> State:
        h = state[0]
        z = cell.gate(1, x, h).apply("sigmoid")
        if h is not None or reset_after:
            r = cell.gate(0, x, h).apply("sigmoid")
        if reset_after:
            own, hidden = cell.parts(2, x, h)
            n = (own + r * hidden).apply("tanh")
        else:
            n = cell.gate(2, x, None if h is None else r * h).apply("tanh")
        return (n - z * n if h is None else n + z * (h - n)), None

    return _stacked(x, layers, initial, None, step)


def _stacked(x: Value, layers: Sequence[Sequence[Cell]], initial: Any, cells: Any, step: Step) -> Run:
    if x.ndim != 2:
        raise ShapeError(f"expected a sequence (T, n), got a value of shape {x.shape}")
    if x.shape[0] * sum(map(len, layers)) > MOST_STEPS:
        raise ShapeError(f"expected at most {MOST_STEPS} steps of all layers together, got a sequence of {x.shape[0]}")
    number, ends = 0, []
    for directions in layers:
        runs = []
        for backward, cell in enumerate(directions):
            state = (_state(initial, number), _state(cells, number))
            output, state = _run(x, cell, state, step, bool(backward))
            runs.append(output)
            ends.append(state)
            number += 1
        x = concatenate(runs, 1) if len(runs) > 1 else runs[0]
    hidden, memory = ([v.reshape(1, -1) for v in parts if v is not None] for parts in zip(*ends, strict=True))
    return Run(x, concatenate(hidden, 0), concatenate(memory, 0) if memory else None)


def _run(x: Value, cell: Cell, state: State, step: Step, backward: bool) -> tuple[Value, State]:
    if x.shape[1] != cell.input_weight.shape[1]:
        raise ShapeError(f"expected {cell.input_weight.shape[1]} numbers per time step, got {x.shape[1]}")
    hidden: list[Value] = []
    times = range(x.shape[0])
    for k in reversed(times) if backward else times:
        state = step(cell, x.part(k), state)
        assert state[0] is not None
        hidden.append(state[0].reshape(1, -1))
    return concatenate(hidden[::-1] if backward else hidden, 0), state


def _state(values: Any, number: int) -> Value | None:
    if values is None:
        return None
    row = values[number] if isinstance(values, Value) else constant(np.asarray(values)[number])
    zero = not isinstance(values, Value) and not np.any(np.asarray(values)[number])
    return None if zero else row


def _part(bias: Any, rows: slice) -> Any:
    return 0 if bias is None else exact_array(bias)[rows]


def _exact_sum(a: Any, b: Any) -> Any:
    """The sum of two biases, not rounded."""
    if not np.any(a) or not np.any(b):
        return b if not np.any(a) else a
    return exact_array(np.asarray(to_fractions(exact_array(a)) + to_fractions(exact_array(b))))
