"""Figures that are drawn on several pages."""
