"""The torch backend: Apple's MPS, the CPU for tests, and memory shared with CuPy on CUDA."""
