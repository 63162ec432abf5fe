"""What machine this is, and how it feels."""
