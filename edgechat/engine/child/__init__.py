"""Running work beside the caller: child processes with llama.cpp in them, and background threads."""
