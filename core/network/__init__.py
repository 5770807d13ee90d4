"""Looking into a module: hooks, one traced run, the graph, receptive fields, layers and units."""
