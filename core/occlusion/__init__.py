"""Hide a part of the image and ask again: windows, the map, the exact incremental engine, the gallery."""
