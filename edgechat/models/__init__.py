"""Model files: their headers, their shapes, what fits, and where they are kept."""
