"""Images and data sets: reading, preprocessing, samples, archives and the catalogue of data sets.

`sets/` is the open set: one file for each data set.
"""
