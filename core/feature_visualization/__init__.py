"""Images made by gradient ascent: what a unit responds to most."""
