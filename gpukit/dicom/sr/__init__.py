"""Structured reports, written and read."""
