"""What a classifier is and where it comes from: model card, checkpoint folder, published weights, import.

`architectures/` is the open set: one file for each architecture.
"""
