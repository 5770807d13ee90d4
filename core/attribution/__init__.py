"""Which pixels an answer rests on.

`methods/` is the open set: one file for each method. Beside it stands what all methods share.
"""
