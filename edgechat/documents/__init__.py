"""Manuals: documents read into sections, kept in one index, and found by the words of a question. No model."""
