"""Where the repository lies."""

from pathlib import Path

#: Top folder of the repository.
ROOT = Path(__file__).resolve().parents[2]
