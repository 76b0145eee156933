"""Data-parallel training and hyper-parameter search for computer vision on a Ray cluster."""

__version__ = "0.1.0"
