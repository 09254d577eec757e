"""Models that come with gpukit, each a folder with its description, weights, card and training script."""
