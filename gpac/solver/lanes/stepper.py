"""Emit the function that carries a queue of trajectories through a group of lanes, each with its own step.

A lane whose trajectory ends takes the next one of the queue. Everything is done lane by lane, so that a
trajectory's bits do not depend on its neighbours. Step size and check are those of `gpac.solver.arrays`:
Jorba and Zou, Experimental Mathematics 14 (2005) 99-117, and the slope of the step's polynomial at its far
end held against the circuit's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ..recurrences import Recurrences
from .group import Group
from .ir import DOUBLE, INT, Value
from .memory import REACHED, SPENT, STUCK, Shape, Steps
from .number import Double, DoubleDouble, Number
from .powers import exp2, log2, power_of_two
from .series import SeriesCode
from .sizes import Sizes

UNIT_BITS = 16
"""A lane whose coefficients overflow tries again with a unit of time this many bits smaller."""
GAUSS = ((0.06943184420297371, 0.17392742256872693), (0.33000947820757187, 0.32607257743127307))
"""Nodes and weights of 4-point Gauss-Legendre on (0, 1); the other two mirror them."""


ARITHMETICS: dict[str, type[Double]] = {"double": Double, "double-double": DoubleDouble}


def module(recurrences: Recurrences, precision: str, shape: Shape, stride: int, steps: Steps) -> ir.Module:
    """The code of the whole engine for one circuit."""
    made = ir.Module("lanes")
    StepCode(made, recurrences, ARITHMETICS[precision], shape, stride, steps)
    return made


@dataclass(frozen=True)
class Move:
    """A step of all lanes: `by` what, how far that is, the clock after it, and what holds where.

    `last` lanes arrive; those that do not move try again with a smaller unit of time, `unit`, if that is worth while.
    """

    by: Number
    length: Value
    after: Number
    last: Value
    moves: Value
    again: Value
    unit: Value


class StepCode:
    """Code of the whole engine for one circuit: the function "run" of the module.

    It takes the pointers that `Group` names, works until the queue is empty, `turns` steps were made or `room`
    is short, and returns the number of lanes still at work.
    """

    def __init__(
        self,
        module: ir.Module,
        recurrences: Recurrences,
        arithmetic: type[Double],
        shape: Shape,
        stride: int,
        steps: Steps,
    ) -> None:
        self.recurrences, self.lanes, self.stride, self.steps = recurrences, shape.lanes, stride, steps
        self.series = SeriesCode(module, recurrences, arithmetic, shape, stride)
        self.group = Group(module, recurrences, arithmetic, self.series, shape.lanes, steps.order)
        self.sizes = Sizes(self.group)
        self.code, self.num, self.pointer = self.group.code, self.group.num, self.group.pointer
        self.unit = arithmetic.unit
        self._emit()

    def _emit(self) -> None:
        code, build = self.code, self.code.build
        turn, done = build.append_basic_block("turn"), build.append_basic_block("done")
        start = build.block
        build.branch(turn)
        build.position_at_end(turn)
        turns = build.phi(INT)
        turns.add_incoming(INT(0), start)
        living = self.group.refill()
        room = build.icmp_signed(">=", self.group.control("room"), code.add(self.group.control("kept"), self.lanes))
        allowed = build.icmp_signed("<", turns, self.group.control("turns"))
        go = build.and_(build.icmp_signed(">", living, INT(0)), build.and_(room, allowed))
        step = build.append_basic_block("step")
        build.cbranch(go, step, done)
        build.position_at_end(step)
        self._step()
        turns.add_incoming(code.add(turns, 1), build.block)
        build.branch(turn)
        build.position_at_end(done)
        build.ret(living)

    def _step(self) -> None:
        """One step of every lane; those that fail are back where they were, with half of it as their next."""
        code, build, num = self.code, self.code.build, self.num
        here = self.sizes.of(lambda e, place: num.load(self.pointer["series"], place))
        scale = code.greatest(here, self._floor())
        self.sizes.weigh(scale)
        unit = code.load(self.pointer["unit"], 0)
        clock = num.load(self.pointer["clock"], 0)
        move = self._move(scale, unit, clock)
        relative = tuple(build.fdiv(part, unit) for part in move.by)
        stretch = self._stretch(relative[0]) if self.steps.length else None
        if self.steps.keep:
            self.group.keep(move.by[0])
        self._advance(relative)
        num.store(move.after, self.pointer["clock"], 0)
        following = build.select(move.moves, power_of_two(code, move.length), build.select(move.again, move.unit, unit))
        code.store(following, self.pointer["unit"], 0)
        self.group.start_order()
        good, size = self._trusted(relative, tuple(build.fdiv(part, following) for part in move.by))
        good = build.and_(good, move.moves)
        busy = build.icmp_signed(">=", self.group.ids(), code.whole(0))
        self._undo(build.not_(good), clock, build.select(move.again, code.number(math.inf), move.length))
        self._account(good, busy, move, code.greatest(here, build.select(good, size, code.number(0.0))), stretch)
        if self.steps.keep:
            self.group.confirm(good)
        self.group.retire()

    def _move(self, scale: Value, unit: Value, clock: Number) -> Move:
        """How far every lane goes: equal parts of what is left, each as long as the series allow."""
        code, build, num = self.code, self.code.build, self.num
        step, wrong = self._expand(scale)
        step = build.fmul(step, unit)
        goal = num.load(self.pointer["goal"], 0)
        gap = num.subtract(goal, clock)
        left = code.absolute(gap[0])
        step = code.least(step, self.group.register("cap"))
        parts = code.intrinsic("ceil", build.fdiv(left, build.fmul(step, code.number(1 + 4 * 2.0**-52))))
        last = build.fcmp_ordered("<=", parts, code.number(1.0))
        step = build.select(last, left, build.fdiv(left, parts))
        least = build.fmul(code.absolute(clock[0]), code.number(4 * self.unit))
        moves = build.or_(build.fcmp_ordered(">", step, least), last)
        moves = build.and_(moves, build.not_(wrong))
        step = build.select(moves, step, code.number(0.0))
        smaller = build.fmul(unit, code.number(2.0**-UNIT_BITS))
        again = build.and_(wrong, build.fcmp_ordered(">", smaller, code.greatest(least, code.number(2.0**-1000))))
        signed = (code.intrinsic("copysign", step, gap[0]), *num.zero()[1:])
        after = num.select(build.and_(last, moves), goal, num.add(clock, signed))
        by = num.subtract(after, clock)  # what the clock can add: rounding of time costs no accuracy
        return Move(by, code.absolute(by[0]), after, last, moves, again, smaller)

    def _account(self, good: Value, busy: Value, move: Move, size: Value, stretch: Value | None) -> None:
        """Count the step, and say what has become of every lane."""
        code, build, group, zero = self.code, self.code.build, self.group, self.code.number(0.0)
        steps = build.fadd(group.register("steps"), build.select(good, code.number(1.0), zero))
        group.set_register("steps", steps)
        group.set_register("space", code.greatest(size, group.register("space")))
        if stretch is not None:
            group.set_register("length", build.fadd(group.register("length"), build.select(good, stretch, zero)))
        most = build.sitofp(group.control("max_steps"), DOUBLE)
        fate = build.select(build.fcmp_ordered(">=", steps, code.spread(most)), code.number(SPENT), zero)
        fate = build.select(build.and_(good, move.last), code.number(REACHED), fate)
        fate = build.select(build.or_(move.moves, move.again), fate, code.number(STUCK))
        group.set_register("fate", build.select(busy, fate, zero))

    def _floor(self) -> Value:
        return self.code.number(self.steps.floor)

    def _expand(self, scale: Value) -> tuple[Value, Value]:
        """All orders, two at a time; returns the step that the last few suggest, and where it is not finite."""
        code, build, order = self.code, self.code.build, self.steps.order
        with code.loop(1, (order + 1) // 2) as loop:
            self.group.call(self.series.pair, code.times(loop.index, 2))
        exponent = log2(code, code.bits(scale))
        first = max(2, order - max(2, order // 5))
        with code.loop(first, order + 1, [code.number(math.inf), code.whole(0)]) as loop:
            size = self.sizes.weighted(loop.index)
            k = code.spread(build.sitofp(loop.index, DOUBLE))
            root = build.fdiv(build.fsub(exponent, log2(code, size)), k)
            most = build.select(build.icmp_signed(">", size, loop.carried[1]), size, loop.carried[1])
            loop.carry = [code.least(root, loop.carried[0]), most]
        radius, largest = loop.results
        infinite = code.whole(0x7FF0000000000000)
        wrong = build.icmp_signed(">=", largest, infinite)
        return exp2(code, build.fadd(radius, code.number(math.log2(self.steps.tol) / order))), wrong

    def _advance(self, h: Number) -> None:
        """Evaluate every state and its slope at the far end by Horner's rule; old states are kept.

        The step, and the slope, are in the lane's unit of time.
        """
        code, num, series = self.code, self.num, self.pointer["series"]
        order = self.steps.order

        def work(entries: list[Any]) -> None:
            places = [code.times(e, self.stride) for e in entries]
            starts = [part for p in places for part in (num.load(series, code.add(p, order)), num.zero())]
            with num.sum_loop(1, order, starts) as loop:
                k = code.minus(order, loop.index)
                for place, p, q in zip(places, loop.sums[::2], loop.sums[1::2], strict=True):
                    loop.next += [num.fma(p, h, num.load(series, code.add(place, k))), num.fma(q, h, p)]
            for e, place, p, q in zip(entries, places, loop.totals[::2], loop.totals[1::2], strict=True):
                old = num.load(series, place)
                num.store(old, self.pointer["old"], e)
                num.store(num.fma(q, h, p), self.pointer["slope"], e)
                num.store(num.fma(p, h, old), series, place)

        self.group.blocks(0, self.recurrences.dim, work)

    def _trusted(self, relative: Number, following: Number) -> tuple[Value, Value]:
        """Whether the polynomial solves the equation at its far end; and the size of the new state.

        `relative` and `following` are the step in the units of time of the old and of the new series.
        """
        code, build, num, series = self.code, self.code.build, self.num, self.pointer["series"]
        size = self.sizes.of(lambda e, place: num.load(series, place))

        def change(place: Any) -> Number:
            return num.multiply(following, num.load(series, code.add(place, 1)))

        def defect(e: Any, place: Any) -> Number:
            return num.subtract(num.multiply(relative, num.load(self.pointer["slope"], e)), change(place))

        miss, rate = self.sizes.of(defect), self.sizes.of(lambda e, place: change(place))
        scale = code.greatest(size, self._floor())
        tol = code.number(10 * (self.steps.order + 1) * self.steps.tol)
        slack = build.fmul(code.number(1e4 * self.unit), build.fadd(scale, rate))
        allowed = code.fma(tol, scale, slack)
        finite = build.fcmp_ordered("<", allowed, code.number(math.inf))
        return build.and_(finite, build.fcmp_ordered("<=", miss, allowed)), size

    def _undo(self, bad: Value, clock: Number, step: Value) -> None:
        """Put lanes whose step failed back to its start, with half of it as their next."""
        code, build, num = self.code, self.code.build, self.num
        half = build.fmul(step, code.number(0.5))
        self.group.set_register("cap", build.select(bad, half, code.number(math.inf)))
        with code.when(self.group.any(bad)):
            with self.group.states() as (e, place):
                new, old = num.load(self.pointer["series"], place), num.load(self.pointer["old"], e)
                num.store(num.select(bad, old, new), self.pointer["series"], place)
            num.store(num.select(bad, clock, num.load(self.pointer["clock"], 0)), self.pointer["clock"], 0)
            self.group.start_order()

    def _stretch(self, step: Value) -> Value:
        """Length of the step's piece of curve: 4-point Gauss-Legendre on the speed. The step is in the lane's unit."""
        code, build, order = self.code, self.code.build, self.steps.order
        total = code.number(0.0)
        for node, weight in [*GAUSS, *((1 - x, w) for x, w in GAUSS)]:
            at = build.fmul(step, code.number(node))
            with code.loop(0, self.recurrences.dim, [code.number(0.0)]) as states:
                place = code.times(states.index, self.stride)
                with code.loop(0, order, [code.number(0.0)]) as loop:
                    k = code.minus(order, loop.index)
                    coefficient = self.num.load(self.pointer["series"], code.add(place, k))[0]
                    rate = build.fmul(coefficient, code.spread(build.sitofp(k, DOUBLE)))
                    loop.carry = [code.fma(loop.carried[0], at, rate)]
                speed = loop.results[0]
                states.carry = [code.fma(speed, speed, states.carried[0])]
            speed = code.intrinsic("sqrt", states.results[0])
            total = code.fma(speed, code.number(weight), total)
        return build.fmul(total, code.absolute(step))
