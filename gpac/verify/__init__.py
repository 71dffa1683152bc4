"""Prove: digits of what a program computes, guaranteed; and a second opinion without guarantee."""

from .proof import Answer, Proof, Question
from .prover import prove
from .reference import reference

__all__ = ["Answer", "Proof", "Question", "prove", "reference"]
