"""Standardised uptake values: acquisition, times, body size, factor."""
