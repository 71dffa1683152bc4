"""Programs as files, one format per module."""

from .program import load, save

__all__ = ["load", "save"]
