"""What a network is made of and what it sees: layer tables, receptive fields, filters and feature maps."""
