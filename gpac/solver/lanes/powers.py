"""Powers of two and logarithms of vectors of doubles, by their bit patterns."""

from __future__ import annotations

from .ir import Code, Value


def power_of_two(code: Code, a: Value) -> Value:
    """The power of two at or below a, between 2**-1000 and 2**1000."""
    whole = code.double(code.build.and_(code.bits(a), code.whole(0x7FF0000000000000)))
    return code.greatest(code.least(whole, code.number(2.0**1000)), code.number(2.0**-1000))


def log2(code: Code, bits: Value) -> Value:
    """Binary logarithm of a positive double from its bit pattern, at most 0.087 too small; -1023 for 0."""
    build = code.build
    shifted = build.or_(build.lshr(bits, code.whole(12)), code.whole(0x4330000000000000))
    whole = build.fsub(code.double(shifted), code.number(2.0**52))
    return build.fsub(build.fmul(whole, code.number(2.0**-40)), code.number(1023.0))


def exp2(code: Code, y: Value) -> Value:
    """2**y to 3e-4, for y between -1000 and 1000 (the nearer end outside)."""
    build = code.build
    y = code.greatest(code.least(y, code.number(1000.0)), code.number(-1000.0))
    floor = code.intrinsic("floor", y)
    f = build.fsub(y, floor)
    power = code.number(0.0790208)
    for coefficient in (0.2241267, 0.6968386, 0.9998119):
        power = code.fma(power, f, code.number(coefficient))
    whole = build.fadd(build.fadd(floor, code.number(1023.0)), code.number(2.0**52))
    return build.fmul(power, code.double(build.shl(code.bits(whole), code.whole(52))))
