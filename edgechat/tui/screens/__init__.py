"""One screen to a file."""
