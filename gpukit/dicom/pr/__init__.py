"""Presentation states, written and read."""
