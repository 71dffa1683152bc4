"""Memory of a group of lanes, and the queue of trajectories that come to sit in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from ..recurrences import Recurrences
from .ir import DOUBLE, INT, POINTER, Code, Value
from .memory import CONTROL, MEMORY, NAMES, REGISTERS
from .number import Double
from .series import SeriesCode

SIDE_BY_SIDE = 4
"""States whose polynomials are evaluated at once."""


class Group:
    """Code that moves trajectories in and out of lanes, in the function "run" of the module.

    The function takes the pointers `NAMES`.
    """

    def __init__(
        self,
        module: ir.Module,
        recurrences: Recurrences,
        arithmetic: type[Double],
        series: SeriesCode,
        lanes: int,
        order: int,
    ) -> None:
        self.recurrences, self.series, self.lanes, self.order = recurrences, series, lanes, order
        self.stride = series.stride
        self.code = Code(module, "run", [POINTER] * len(NAMES), lanes)
        self.num = arithmetic(self.code)
        self.pointer = dict(zip(NAMES, self.code.function.args, strict=True))

    def control(self, name: str) -> Value:
        """An integer of `control`."""
        return self.code.whole_at(self.pointer["control"], CONTROL.index(name))

    def set_control(self, name: str, value: Value) -> None:
        """Change an integer of `control`."""
        self.code.put_whole(value, self.pointer["control"], CONTROL.index(name))

    def register(self, name: str) -> Value:
        """A vector of `registers`."""
        return self.code.load(self.pointer["registers"], REGISTERS.index(name))

    def set_register(self, name: str, value: Value) -> None:
        """Change a vector of `registers`."""
        self.code.store(value, self.pointer["registers"], REGISTERS.index(name))

    def call(self, function: ir.Function, k: int | Value) -> None:
        """Call one of the series' functions."""
        self.code.build.call(function, [*(self.pointer[m] for m in MEMORY), self.code.integer(k)])

    def start_order(self) -> None:
        """Orders 0 and 1 of every unit at the present state and time."""
        self.call(self.series.start, 0)

    @contextmanager
    def states(self) -> Iterator[tuple[Any, Any]]:
        """Every entry of the state, with the place of its series; integrators come first in all memory."""
        with self.code.entries(self.recurrences.dim) as e:
            yield e, self.code.times(e, self.stride)

    def blocks(self, begin: int, stop: int, work: Callable[[list[Any]], None]) -> None:
        """Do the work for the states from `begin` to `stop`, some of them at once."""
        full = (stop - begin) // SIDE_BY_SIDE
        if full:
            with self.code.entries(full) as block:
                first = self.code.add(self.code.times(block, SIDE_BY_SIDE), begin)
                work([self.code.add(first, i) for i in range(SIDE_BY_SIDE)])
        if begin + full * SIDE_BY_SIDE < stop:
            work(list(range(begin + full * SIDE_BY_SIDE, stop)))

    def _spot(self, number: Any, part: int, lane: Value) -> Value:
        """Index of one lane's double in group memory."""
        code = self.code
        vector = code.add(code.times(number, self.num.parts), part)
        return code.add(code.times(vector, self.lanes), lane)

    def _double_at(self, base: str, place: Any) -> Value:
        return self.code.build.gep(self.pointer[base], [self.code.integer(place)], source_etype=DOUBLE)

    def _copy(self, source: str, source_place: Any, target: str, target_place: Any) -> None:
        value = self.code.build.load(self._double_at(source, source_place), typ=DOUBLE, align=8)
        self.code.build.store(value, self._double_at(target, target_place), align=8)

    def any(self, mask: Value) -> Value:
        """Whether a mask holds in any lane."""
        bits = ir.IntType(self.lanes)
        return self.code.build.icmp_unsigned("!=", self.code.build.bitcast(mask, bits), bits(0))

    def _exchange(self, lane: Value, trajectory: Value, inward: bool) -> None:
        """Copy a trajectory's state and time into its lane, or back; its parameters and end only inward."""
        code, parts = self.code, self.num.parts

        def move(group: str, number: Any, queue: str, count: int, entry: Any) -> None:
            for p in range(parts):
                here = self._spot(number, p, lane)
                there = code.add(code.times(code.add(code.times(trajectory, count), entry), parts), p)
                if inward:
                    self._copy(queue, there, group, here)
                else:
                    self._copy(group, here, queue, there)

        with self.states() as (e, place):
            move("series", place, "state", self.recurrences.dim, e)
        move("clock", 0, "times", 1, 0)
        if inward:
            if self.recurrences.still_size:
                with code.loop(0, self.recurrences.still_size) as loop:
                    move("still", loop.index, "parameters", self.recurrences.still_size, loop.index)
            move("goal", 0, "ends", 1, 0)
        else:
            count = len(self.recurrences.moving_watched)
            for number, entry, size in self.recurrences.moving_runs:
                with code.loop(0, size) as loop:
                    place = code.times(code.add(loop.index, entry), self.stride)
                    move("series", place, "readings", count, code.add(loop.index, number))

    def _spot_of_register(self, name: str, lane: Value) -> Value:
        return self.code.add(REGISTERS.index(name) * self.lanes, lane)

    def _set_lane(self, name: str, lane: Value, value: float) -> None:
        self.code.build.store(DOUBLE(value), self._double_at("registers", self._spot_of_register(name, lane)), align=8)

    def ids(self) -> Value:
        """Who sits in the lanes; -1 in free ones."""
        return self.code.build.load(self.pointer["ids"], typ=self.code.integers, align=self.code.alignment)

    def refill(self) -> Value:
        """Give free lanes the next trajectories; returns how many lanes are at work."""
        code, build = self.code, self.code.build
        before = self.control("next")
        with code.loop(0, self.lanes, [INT(0)]) as loop:
            lane = loop.index
            following = self.control("next")
            free = build.icmp_signed("<", code.whole_at(self.pointer["ids"], lane), INT(0))
            more = build.icmp_signed("<", following, self.control("stop"))
            with code.when(build.and_(free, more)):
                code.put_whole(following, self.pointer["ids"], lane)
                self._exchange(lane, following, inward=True)
                for name in ("steps", "length", "space", "fate"):
                    self._set_lane(name, lane, 0.0)
                self._set_lane("cap", lane, math.inf)
                code.build.store(DOUBLE(1.0), self._double_at("unit", lane), align=8)
                self.set_control("next", code.add(following, 1))
            busy = build.icmp_signed(">=", code.whole_at(self.pointer["ids"], lane), INT(0))
            loop.carry = [code.add(loop.carried[0], build.zext(busy, INT))]
        with code.when(build.icmp_signed("!=", before, self.control("next"))):
            self.start_order()
        return loop.results[0]

    def retire(self) -> None:
        """Write down the trajectories whose fate is settled and free their lanes."""
        code, build = self.code, self.code.build
        fates = self.register("fate")
        with code.when(self.any(build.fcmp_ordered("!=", fates, code.number(0.0)))), code.loop(0, self.lanes) as loop:
            lane = loop.index
            spot = self._double_at("registers", self._spot_of_register("fate", lane))
            fate = build.load(spot, typ=DOUBLE, align=8)
            trajectory = code.whole_at(self.pointer["ids"], lane)
            ended = build.and_(build.fcmp_ordered("!=", fate, DOUBLE(0.0)), build.icmp_signed(">=", trajectory, INT(0)))
            with code.when(ended):
                self._exchange(lane, trajectory, inward=False)
                for at, name in enumerate(("length", "space")):
                    source = self._spot_of_register(name, lane)
                    self._copy("registers", source, "figures", code.add(code.times(trajectory, 2), at))
                steps = build.load(
                    self._double_at("registers", self._spot_of_register("steps", lane)), typ=DOUBLE, align=8
                )
                for at, value in enumerate((steps, fate)):
                    place = code.add(code.times(trajectory, 2), at)
                    code.put_whole(build.fptosi(value, INT), self.pointer["counts"], place)
                code.put_whole(-1, self.pointer["ids"], lane)

    def keep(self, step: Value) -> None:
        """Write the step's polynomials of the watched entries, one row per lane, before the state moves on."""
        code, build, parts = self.code, self.code.build, self.num.parts
        kept, orders = self.control("kept"), self.order + 1
        build.store(self.ids(), build.gep(self.pointer["rows"], [kept], source_etype=INT), align=8)
        code.store(step, self.pointer["registers"], REGISTERS.index("step"))
        size = len(self.recurrences.moving_watched) * orders * parts
        with code.loop(0, self.lanes) as lane:
            row = code.add(kept, lane.index)
            span = code.times(row, parts + 2)
            for p in range(parts):
                self._copy("clock", self._spot(0, p, lane.index), "spans", code.add(span, p))
            self._copy("registers", self._spot_of_register("step", lane.index), "spans", code.add(span, parts))
            self._copy("unit", lane.index, "spans", code.add(span, parts + 1))
            for number, entry, length in self.recurrences.moving_runs:
                with code.loop(0, length) as e, code.loop(0, orders) as k:
                    series = code.add(code.times(code.add(e.index, entry), self.stride), k.index)
                    place = code.add(code.times(code.add(e.index, number), orders), k.index)
                    place = code.add(code.times(row, size), code.times(place, parts))
                    for p in range(parts):
                        here = self._spot(series, p, lane.index)
                        self._copy("series", here, "polynomials", code.add(place, p))

    def confirm(self, good: Value) -> None:
        """Strike out the rows of lanes whose step did not count."""
        code, build = self.code, self.code.build
        kept = self.control("kept")
        spot = build.gep(self.pointer["rows"], [kept], source_etype=INT)
        rows = build.load(spot, typ=code.integers, align=8)
        build.store(build.select(good, rows, code.whole(-1)), spot, align=8)
        self.set_control("kept", code.add(kept, self.lanes))
