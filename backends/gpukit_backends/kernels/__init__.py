"""Plain C functions, one source for the CPU and for NVIDIA."""
