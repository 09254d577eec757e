"""From an image to a network's input, and from its output to labels."""
