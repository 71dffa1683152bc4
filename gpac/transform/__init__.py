"""Rewritings of programs that keep what they compute, one per file."""
