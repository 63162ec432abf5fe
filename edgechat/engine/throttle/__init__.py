"""What the engine does when the board is hot, short of power or short of memory; the number of threads."""
