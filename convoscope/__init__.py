"""What `pip install .` puts into an environment: one package, with all of Convoscope inside it."""
