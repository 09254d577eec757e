"""Text documents and how they get to disk: atomic writes, JSON, CSV."""
