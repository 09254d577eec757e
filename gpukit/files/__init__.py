"""File formats other than DICOM."""
