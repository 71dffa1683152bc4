"""Programs as files, one format per module."""

from .program import load, register_limit, save

__all__ = ["load", "register_limit", "save"]
