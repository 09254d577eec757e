"""Independent programs and plain computations that judge gpukit."""
