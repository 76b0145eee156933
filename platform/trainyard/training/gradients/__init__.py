"""The health of gradients: norms by layer, measured while a model trains, and what they say is wrong."""
