"""What a batch, a loss and a metric mean. Nothing outside of tasks and training knows what a label is."""
