"""What happened in a sweep: the journal, its copy in MLflow, and reading it back."""
