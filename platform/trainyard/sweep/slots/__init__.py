"""What trains the trials: slots and their workers."""
