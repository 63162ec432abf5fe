"""Which model fits this board, with which settings, how fast, and why."""
