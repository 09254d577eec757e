"""Find, keep and convert models."""
