"""Pictures as bytes for terminals: cells of text, sixel, the protocols of kitty and iTerm2."""
