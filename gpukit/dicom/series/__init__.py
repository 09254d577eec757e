"""Many images: candidates, phases, layout, a Volume."""
