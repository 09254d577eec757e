"""Tool ``measure``: lengths, areas, volumes and values, each with its unit and where its scale came from."""
