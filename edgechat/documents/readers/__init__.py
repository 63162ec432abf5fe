"""The readers: each turns one format into a sequence of blocks, within fixed limits."""
