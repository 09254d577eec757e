"""Values of a region: statistics and first-order features."""
