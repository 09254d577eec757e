"""From a header to the stored and rescaled values of its frames."""
