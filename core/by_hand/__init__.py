"""Convolution and losses number by number, without PyTorch: the section "By hand" of the app."""
