"""Structured reports: the generic content tree, and measurement reports by TID 1500."""
