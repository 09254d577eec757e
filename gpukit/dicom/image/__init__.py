"""One image: planes, functional groups, lookup tables, units, one frame."""
