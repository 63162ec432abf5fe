"""Installed models on disk: versions side by side, installing, adding local files, verification."""
