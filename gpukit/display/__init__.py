"""From values to what is seen: which window, shades of gray, and pictures with what is drawn on them."""
