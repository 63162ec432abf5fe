"""Scores of task results against reference files."""
