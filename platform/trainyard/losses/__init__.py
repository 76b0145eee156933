"""Loss terms and their mix."""
