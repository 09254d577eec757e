"""Object stores, each a plug-in of the group ``gpukit.stores``."""
