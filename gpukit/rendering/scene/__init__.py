"""Scenes: camera, transfer functions, surfaces, animation."""
