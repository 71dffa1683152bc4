"""Measure: what a computation costs in time, curve length, space, precision and bit operations."""

from .fit import Fit, fit_line, fit_power
from .measure import Measurement, Row, measure

__all__ = ["Fit", "Measurement", "Row", "fit_line", "fit_power", "measure"]
