"""What a sweep tries next, and which of its trials go on."""
