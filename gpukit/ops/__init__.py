"""Algorithms on arrays, each written once over the Array API: the definition of right."""
