"""The settings of the known architectures."""
