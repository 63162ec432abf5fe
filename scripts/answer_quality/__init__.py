"""Measures how good the tasks' answers are on the reference sets, with real models."""
