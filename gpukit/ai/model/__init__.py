"""A model's description and its files."""
