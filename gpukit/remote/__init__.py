"""Other machines: object stores and DICOMweb services."""
