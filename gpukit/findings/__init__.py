"""Measurements and findings as frozen values, and every way in which they are written, read and compared."""
