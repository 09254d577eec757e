"""The NumPy backend with compiled kernels."""
