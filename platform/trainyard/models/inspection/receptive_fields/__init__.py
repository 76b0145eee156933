"""Receptive fields, followed through whatever a model does with its images."""
