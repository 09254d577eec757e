"""Items of DICOM sequences by keyword."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset


def item(**values: Any) -> Dataset:
    """A data set with these attributes."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
