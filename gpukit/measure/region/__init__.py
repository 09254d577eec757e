"""Regions of interest: shapes, masks, outlines."""
