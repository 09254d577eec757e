"""Words of a document: numbers, units, dates, names and codes as people read them, in their language."""
