"""Computed images, written back as DICOM."""
