"""Conversations: history on disk, search, export and import."""
