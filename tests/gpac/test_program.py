"""What a program may claim of itself."""

from fractions import Fraction

import pytest

import gpac
from gpac.program import Program


def test_an_exact_program_that_is_approximated_is_within_delta():
    exact = Program("homotopy", "exact", Fraction(1))
    near = exact.approximating(0.25)
    assert (near.claim, near.delta, near.horizon) == ("within", Fraction(1, 4), 1)
    assert near.approximating("1/4").delta == Fraction(1, 2)


def test_a_limit_within_delta_stays_a_limit():
    near = Program("relaxation", "limit").approximating(Fraction(1, 8))
    assert (near.claim, near.delta) == ("limit", Fraction(1, 8))


def test_claims_that_contradict_themselves_are_refused():
    with pytest.raises(gpac.CircuitError, match="expected a claim 'exact', 'limit' or 'within', got 'near'"):
        Program(claim="near")
    with pytest.raises(gpac.CircuitError, match="must say its delta"):
        Program(claim="within")
    with pytest.raises(gpac.CircuitError, match="expected no delta for the claim 'exact'"):
        Program(delta=Fraction(1))
    with pytest.raises(gpac.CircuitError, match="none below 0, got -1"):
        Program().approximating(-1)


def test_derivatives_of_an_approximation_make_no_claim_of_nearness():
    x = gpac.inputs("x")
    circuit = gpac.Circuit({"y": gpac.integral(x)}, Program(horizon=Fraction(1)).approximating(1))
    from gpac.transform.tangent import tangent

    assert tangent(circuit, ["x"]).program == Program(horizon=Fraction(1))
