"""The main job: compile a network file under every scheme, run, prove, measure, and write one page."""

from .page import write_page
from .run import Report, report

__all__ = ["Report", "report", "write_page"]
