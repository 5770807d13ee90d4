"""A machine without what only POSIX has: `sitecustomize.py` here is run by every Python that finds it first."""
