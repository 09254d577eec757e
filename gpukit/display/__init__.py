"""From values to what is seen: windows, grey levels, pictures, rulers."""
