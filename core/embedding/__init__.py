"""Many images as one map: features, projections, nearest neighbors."""
