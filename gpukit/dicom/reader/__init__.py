"""From names to headers: discovery, elements, values. Nothing is decoded."""
