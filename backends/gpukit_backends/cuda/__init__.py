"""The CuPy backend: NVIDIA devices, with the CPU kernels' functions compiled by NVRTC."""
