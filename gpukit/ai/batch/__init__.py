"""Run models over many cases; resumable."""
