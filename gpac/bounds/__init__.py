"""Certify: proven error bounds for batches that were solved in float64."""

from .certify import Certification, certify

__all__ = ["Certification", "certify"]
