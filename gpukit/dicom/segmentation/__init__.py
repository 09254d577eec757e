"""SEG and RTSTRUCT, written and read."""
