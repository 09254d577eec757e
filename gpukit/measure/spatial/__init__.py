"""Lengths, angles, areas, and the scale that they rest on."""
