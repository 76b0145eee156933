"""Architectures, one in each file, and the user's own models."""
