"""Drills: break something many times over (kill, interrupt, fuzz, starve of memory) and count what the user loses."""
