"""A machine without what only POSIX has: any Python that finds `sitecustomize.py` first runs it."""
