"""Prove: digits of what a program computes, guaranteed; and a second opinion without guarantee."""

from .proof import Answer, Proof
from .prover import prove
from .reference import reference

__all__ = ["Answer", "Proof", "prove", "reference"]
