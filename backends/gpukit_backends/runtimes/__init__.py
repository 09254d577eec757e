"""Runtimes for networks, found through the entry points ``gpukit.runtimes``."""
