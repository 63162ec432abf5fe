"""Dialogs above a screen: questions, settings, files, keys, commands."""
