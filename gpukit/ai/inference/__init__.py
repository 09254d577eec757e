"""The streaming sliding window."""
