"""Everything vendor-specific, as plug-ins that gpukit finds by entry point."""
