"""Open and save images, masks and segmentations, whatever their format."""
