"""Tool ``3d``: planes, projections and pictures of volumes. The arithmetic is in `gpukit.ops`; this composes it."""
