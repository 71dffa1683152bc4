"""Compiled bounds: held against exact fractions, long arithmetic, and the same bounds on arrays."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import Any

import mpmath
import numpy as np
import pytest
import random_systems
import sympy
from llvmlite import ir

import gpac
from gpac.bounds import kernel, phase
from gpac.bounds.models import Matrix, Model, combine, multiply
from gpac.bounds.phase import Course
from gpac.bounds.scan import Emission, Written
from gpac.bounds.sharp import SHARP, Sharp
from gpac.bounds.skeleton import Interval, Spans, steps_of
from gpac.bounds.steps import Steps, defects, exponential
from gpac.bounds.trace import Number, Trace, larger, largest, rounded, smaller, where_less
from gpac.solver.lanes.ir import INT, POINTER, Code
from gpac.solver.lanes.machine import Compiled, registers
from gpac.solver.task import Limits

LANES = registers()[0]


def _computed(written: Written, inputs: np.ndarray) -> np.ndarray:
    """Compiled values (asked, lanes) for inputs (numbers, lanes)."""

    def text() -> str:
        module = ir.Module("values")
        code = Code(module, "run", [POINTER, POINTER], LANES)
        source, target = code.function.args
        for i, value in enumerate(Emission(code, written, lambda i: code.load(source, i)).values()):
            code.store(value, target, i)
        code.build.ret(INT(0))
        return str(module)

    memory = [np.zeros((n + 1) * LANES + 8) for n in (len(inputs), len(written.asked))]
    starts = [-m.ctypes.data % 64 // 8 for m in memory]
    given, out = (
        m[s : s + n * LANES] for m, s, n in zip(memory, starts, (len(inputs), len(written.asked)), strict=True)
    )
    given[:] = inputs.reshape(-1)
    compiled = Compiled(f"{written.key}", text, 2)  # its code goes when it does
    compiled.run(given.ctypes.data, out.ctypes.data)
    return out.reshape(-1, LANES).copy()


def test_each_operation_gives_what_numpy_gives_also_for_infinities_and_nan():
    numbers = np.array([0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan, 3e-310])
    a, b = (m.reshape(-1) for m in np.meshgrid(numbers, numbers))
    one = Trace()
    x, y = one.inputs(2, 1)
    asked = [x + y, x - y, x * y, x / y, -x, abs(x), np.sqrt(x), larger(x, y), smaller(x, y), where_less(x, y, x, 7.0)]
    asked.append(largest(np.stack([x, y, np.array([1.0], dtype=object)])))
    with np.errstate(all="ignore"):
        sums = [a + b, a - b, a * b, a / b, -a, abs(a), np.sqrt(a), np.maximum(a, b), np.minimum(a, b)]
        sums += [np.where(a < b, a, 7.0), np.maximum(np.maximum(a, b), 1.0)]
    flat = [entry for one_ in asked for entry in one_]
    for low in range(0, len(a), LANES):
        found = _computed(Written(one, flat), np.stack([a, b])[:, low : low + LANES])
        for row, right in zip(found, sums, strict=True):
            np.testing.assert_array_equal(row, right[low : low + LANES])


def test_a_product_goes_into_a_sum_unrounded_unless_it_is_to_be_rounded():
    e = 2.0**-30
    values = np.repeat([[1 + e], [1 - e], [-1.0]], LANES, axis=1)

    def found(function: Callable[..., Any]) -> float:
        one = Trace()
        x, y, z = one.inputs(3, 1)
        return float(_computed(Written(one, list(function(x, y, z))), values)[0, 0])

    assert found(lambda x, y, z: x * y + z) == found(lambda x, y, z: z + x * y) == -(e**2)
    assert found(lambda x, y, z: z - -x * y) == found(lambda x, y, z: x * y - (-z)) == -(e**2)
    assert found(lambda x, y, z: rounded(x * y) + z) == 0
    assert found(lambda x, y, z: (x * y + z) * (x * y)) == 0  # used twice, it is one number


def test_what_is_known_to_be_zero_or_one_costs_nothing():
    one = Trace()
    x = one.inputs(1)
    for value in (x * 1.0, 1.0 * x, x + 0.0, 0 + x, x / 1.0, x - 0.0):
        assert value[0].place == 0
    assert (0.0 * x)[0] == 0.0 and not isinstance((x * 0)[0], Number) and len(one.operations) == 1


def test_the_exponential_is_bounded_from_above_and_closely():
    x = np.concatenate([[0.0], 10.0 ** np.linspace(-20, 1.8, 400)])
    with mpmath.workdps(40):
        right = [mpmath.exp(mpmath.mpf(v)) for v in x]
    bound = exponential(x)
    assert all(mpmath.mpf(float(b)) >= r for b, r in zip(bound, right, strict=True))
    assert all(float(b) <= float(r) * 1.001 for b, v, r in zip(bound, x, right, strict=True) if v < 30)
    assert (exponential(np.array([65.0, np.inf, np.nan])) == np.inf).all()


def _times(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def _exact_defect(system: gpac.PIVP, c: np.ndarray, h: Fraction) -> list[list[Fraction]]:
    """P' - h f(P) for polynomials c (K + 1, dim)."""
    states = [[Fraction(float(x)) for x in column] for column in c.T]
    out = []
    for state, right in zip(states, system.polynomials, strict=True):
        defect = [k * x for k, x in enumerate(state)][1:]
        for powers, factor in right.items():
            product = [-h * Fraction(int(factor.numerator), int(factor.denominator))]
            for other, power in zip(states, powers, strict=True):
                for _ in range(power):
                    product = _times(product, other)
            defect += [Fraction(0)] * (len(product) - len(defect))
            for k, x in enumerate(product):
                defect[k] += x
        out.append(defect)
    return out


def _least_integral(defect: list[Fraction]) -> Fraction:
    """At most the integral of |d| over [0, 1]: of |d| averaged over each of 32 parts with d's sign there."""
    scale = lcm(*(x.denominator for x in defect)) if defect else 1
    whole = [Fraction(x * scale, k + 1) for k, x in enumerate(defect)]  # of the antiderivative

    def at(s: Fraction) -> Fraction:
        total = Fraction(0)
        for x in reversed(whole):
            total = (total + x) * s
        return total

    values = [at(Fraction(i, 32)) for i in range(33)]
    return sum((abs(b - a) for a, b in pairwise(values)), Fraction(0)) / scale


def _compiled_defects(course: Course, steps: Steps, row: int) -> np.ndarray:
    """Bounds (dim,) on one step, with the code that the kernel has; the step in every lane."""
    orders, n = steps.c.shape[:2]
    one = Trace()
    c, begin, h, h_off = one.inputs(orders, n, 1), one.inputs(1), one.inputs(1), one.inputs(1)
    inputs, numbers = {}, [steps.c[..., row].reshape(-1), [steps.begin[row], steps.h[row], steps.h_off[row]]]
    for name, model in steps.inputs.items():
        size = model.c.shape[1]
        inputs[name] = Model(one.inputs(1, size, 1), one.inputs(size, 1))
        numbers += [model.c[0, :, row], model.error[:, row]]
    asked = list(defects(course.units, Steps(c, begin, h, h_off, inputs))[:, 0])
    values = np.repeat(np.concatenate(numbers)[:, None], LANES, axis=1)
    return _computed(Written(one, asked), values)[:, 0]


x, y, z = sympy.symbols("x y z")


def _sharp(one: Trace, orders: int, entries: int) -> Sharp:
    """A polynomial with low parts and an error, all inputs."""
    return Sharp(one.inputs(orders, entries, 1), one.inputs(entries, 1), one.inputs(min(SHARP, orders), entries, 1))


def _numbers(rng: np.random.Generator, orders: int, entries: int, error: float) -> list[np.ndarray]:
    """Values for it, in every lane others; coefficients that hardly fall, so that every order counts."""
    c = rng.uniform(0.5, 1.5, (orders, entries, LANES)) * 0.9 ** np.arange(orders)[:, None, None]
    low = c[: min(SHARP, orders)] * rng.uniform(-1, 1, (min(SHARP, orders), entries, LANES)) * 2.0**-54
    return [c, np.full((entries, LANES), error), low]


def _fractions(numbers: list[np.ndarray], entry: int, lane: int) -> list[Fraction]:
    c, _, low = numbers
    exact = [Fraction(float(x)) for x in c[:, entry, lane]]
    return [x + (Fraction(float(low[k, entry, lane])) if k < len(low) else 0) for k, x in enumerate(exact)]


def _held(found: Sharp, values: np.ndarray, exact: list[Fraction], entry: int, lane: int) -> None:
    """All coefficients together are off by no more than the error."""
    orders, entries = found.c.shape[:2]
    c, low = values[: orders * entries].reshape(orders, entries, -1), values[orders * entries :]
    low, error = low[:-entries].reshape(-1, entries, LANES), float(low[-entries + entry, lane])
    given = _fractions([c, None, low], entry, lane) + [Fraction(0)] * len(exact)
    exact = exact + [Fraction(0)] * (len(given) - len(exact))
    off = sum(abs(x - y) for x, y in zip(exact, given, strict=False))
    assert off <= Fraction(error)


def _asked(found: Sharp) -> list[Any]:
    return [*found.c.reshape(-1), *found.low.reshape(-1), *np.broadcast_to(found.error, found.c.shape[1:]).reshape(-1)]


@pytest.mark.parametrize("error", [0.0, 1e-13])
@pytest.mark.parametrize("sizes", [(7, 9, 4), (7, 9, 7), (7, 9, 17), (2, 3, 4), (1, 5, 9)])
def test_sharp_products_err_by_less_than_they_say_in_fractions(sizes, error):
    rng, (first, second, orders) = np.random.default_rng(sizes), sizes
    one = Trace()
    a, b = _sharp(one, first, 2), _sharp(one, second, 2)
    found = multiply(a, b, orders)
    left, right = _numbers(rng, first, 2, error), _numbers(rng, second, 2, error)
    values = _computed(Written(one, _asked(found)), np.concatenate([n.reshape(-1, LANES) for n in left + right]))
    for entry, lane in np.ndindex(2, LANES):
        x, y = _fractions(left, entry, lane), _fractions(right, entry, lane)
        moved = [x[0] + Fraction(error), *x[1:]], [y[0] + Fraction(error), *y[1:]]
        _held(found, values, _times(*moved), entry, lane)


@pytest.mark.parametrize("error", [0.0, 1e-13])
@pytest.mark.parametrize("orders", [9, 4])
def test_sharp_sums_err_by_less_than_they_say_in_fractions(orders, error):
    rng = np.random.default_rng(6)
    exact = np.array([[Fraction(1, 3), Fraction(-2, 7)], [Fraction(0), Fraction(5, 11)]], dtype=object)
    one = Trace()
    a, b = _sharp(one, orders, 2), _sharp(one, 3, 2)
    bias = np.array([0.1, 0.0]), np.array([2.0**-60, 0.0])
    found = combine([(Matrix.of(exact), a), (Matrix.of(np.array(Fraction(1, 9), dtype=object)), b)], bias)
    left, right = _numbers(rng, orders, 2, error), _numbers(rng, 3, 2, error)
    values = _computed(Written(one, _asked(found)), np.concatenate([n.reshape(-1, LANES) for n in left + right]))
    for i, lane in np.ndindex(2, LANES):
        x, y = [_fractions(left, j, lane) for j in range(2)], _fractions(right, i, lane)
        total = [sum((exact[i, j] * x[j][k] for j in range(2)), Fraction(0)) for k in range(orders)]
        total = [t + (y[k] / 9 if k < 3 else 0) for k, t in enumerate(total)]
        signs = [1 if m > 0 else -1 for m in exact[i]]
        total[0] += Fraction(float(bias[0][i])) + Fraction(float(bias[1][i]))
        total[0] += Fraction(error) * (sum(m * s for m, s in zip(exact[i], signs, strict=True)) + Fraction(1, 9))
        _held(found, values, total, i, lane)


SYSTEMS = [
    gpac.PIVP({x: 10 * (y - x), y: x * (28 - z) - y, z: x * y - sympy.Rational(8, 3) * z}, {x: 1, y: 1, z: 1}),
    gpac.PIVP(
        {x: sympy.Rational(1, 3) * x**3 - y, y: x - y**2 + sympy.Rational(1, 7)}, {x: 1, y: sympy.Rational(1, 3)}
    ),
    gpac.PIVP({x: x}, {x: 1}),
    gpac.PIVP({x: -(10**6) * x + y, y: -y}, {x: 1, y: 1}),
]


@pytest.mark.parametrize("system", SYSTEMS, ids=range(4))
def test_defects_are_above_the_exact_ones_in_fractions(system):
    course = Course(system.to_circuit(free_start=True))
    n, rng = course.circuit.dim, np.random.default_rng(3)
    start = rng.uniform(0.5, 1.5, (n, 3))
    inputs, ends = {"initial": Interval(start, np.zeros(start.shape))}, np.full(3, 1e-5 if n == 2 else 1.0)
    skeleton = course.skeleton(inputs, ends, Limits(1000))
    spans = Spans.of(skeleton, ends, np.zeros(3))
    steps = steps_of(skeleton, spans, inputs)
    on_arrays = defects(course.units, steps)
    for row in {0, len(spans.h) // 2, len(spans.h) - 1}:
        bent = steps.c.copy()
        bent[rng.integers(len(bent)), rng.integers(n), row] += 10.0 ** rng.integers(-12, -2)
        for c in (steps.c, bent):
            now = Steps(c, steps.begin, steps.h, steps.h_off, steps.inputs)
            right = [_least_integral(d) for d in _exact_defect(system, c[..., row], Fraction(float(spans.h[row])))]
            compiled, arrays = _compiled_defects(course, now, row), defects(course.units, now)[:, row]
            assert all(Fraction(float(b)) >= d for b, d in zip(compiled, right, strict=True))
            assert all(Fraction(float(b)) >= d for b, d in zip(arrays, right, strict=True))
            assert (compiled <= 1.01 * arrays).all()
            assert all(Fraction(float(b)) <= 20 * d for b, d in zip(compiled, right, strict=True))
    assert np.isfinite(on_arrays).all()


@pytest.mark.parametrize("number", range(5))
def test_random_systems_are_certified_on_both_ways_or_on_none_and_the_truth_lies_within(number, monkeypatch):
    monkeypatch.setattr(kernel, "MOST_WITH_MATRICES", 8_000)
    case = random_systems.case(number)
    t = float(min(case.t, 2))
    solution = gpac.solve(case.system, t=t, tol=1e-12, max_steps=3000)
    proven = []
    for worth in (10**18, 0):
        monkeypatch.setattr(phase, "WORTH", worth)
        proven.append(gpac.certify(solution, max_steps=3000))
    if solution.status is not gpac.Status.REACHED:
        assert not proven[0].certified.any() and not proven[1].certified.any()
        return
    truth = gpac.solve(case.system, t=t, tol=1e-27, precision="double-double", max_steps=100_000).check()
    true = np.abs((solution.outputs - truth.outputs) - truth.outputs_low)
    for one in proven:
        assert (true <= one.error[0]).all()
    if proven[0].certified.all():
        assert proven[1].worst[0] <= 4 * proven[0].worst[0] + 1e-14


def test_sums_with_vectors_numbers_and_fractions_are_sharp_too(monkeypatch):
    """Constants, inputs, a column, a product of vectors; outputs against double-double."""
    monkeypatch.setattr(phase, "WORTH", 0)
    a = gpac.inputs("a", 2)
    z, y = gpac.wire("z"), gpac.wire("y", 2)
    z.define(gpac.integral(z * Fraction(-1, 7) + gpac.constant(Fraction(1, 3)), None, 1, name="z"))
    turning = np.array([[Fraction(1, 3), -1], [1, Fraction(1, 10)]], dtype=object)
    rate = gpac.linear([(turning, y), (np.array([[1.0], [0.5]]), z), (0.25, a)], np.array([0.1, 0.2]))
    y.define(gpac.integral(rate, None, [1, 2], name="y"))
    circuit = gpac.Circuit({"y": y, "z": z, "squares": y * y})
    inputs, ends = np.random.default_rng(8).uniform(-1, 1, (12, 2)), [1.0, 2.0, -1.0, 0.5] * 3
    solution = gpac.solve(circuit, t=ends, inputs=inputs, tol=1e-14).check()
    truth = gpac.solve(circuit, t=ends, inputs=inputs, tol=1e-28, precision="double-double").check()
    true = np.abs((solution.outputs - truth.outputs) - truth.outputs_low)
    proven = gpac.certify(solution).check()
    assert any(name.startswith("bounds") and made[1] for name, made in circuit.prepared.items())
    assert (true <= proven.error).all() and np.median(proven.error / true) < 60


def test_many_states_are_compared_in_compiled_code_as_on_arrays(monkeypatch):
    from compile import homotopy, load

    program = homotopy(load("examples/networks/ring_tanh_2_3_1.onnx"))
    monkeypatch.setattr(phase, "FEW", 2)
    x = np.random.default_rng(5).uniform(-1, 1, (20, 2))
    solution = gpac.solve(program, inputs=x, tol=1e-13).check()
    truth = gpac.solve(program, inputs=x, t=solution.t, tol=1e-28, precision="double-double").check()
    true = np.abs((solution.outputs - truth.outputs) - truth.outputs_low)
    errors = []
    for worth in (10**18, 0):
        monkeypatch.setattr(phase, "WORTH_LARGE", worth)
        errors.append(gpac.certify(solution).check().error)
        assert (true <= errors[-1]).all()
    assert (errors[1] < errors[0]).all()  # by the sharper defect


def test_irrational_weights_have_no_low_part_and_all_their_inexactness_counts():
    exact = np.array([[sympy.sqrt(2), sympy.Integer(1)]], dtype=object)
    matrix = Matrix.of(exact)
    one = Trace()
    x = Sharp.exactly(one.inputs(1, 2, 1))
    found = combine([(matrix, x)], None)
    values = _computed(Written(one, _asked(found)), np.ones((2, LANES)))
    with mpmath.workdps(60):
        off = abs(mpmath.mpf(float(values[0, 0])) + mpmath.mpf(float(values[1, 0])) - 1 - mpmath.sqrt(2))
    assert off <= float(values[2, 0]) < 2.0**-50
