"""Frame decoders: the CPU codecs, and DALI on NVIDIA. Each is a plug-in of the group ``gpukit.decoders``."""
