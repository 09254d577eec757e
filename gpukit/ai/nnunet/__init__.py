"""Trained nnU-Net folders: plans, preprocessing, network, export."""
