"""Makers of files: models with random weights, vocabularies, and the pictures in docs/."""
