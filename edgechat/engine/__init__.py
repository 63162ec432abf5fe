"""The engine process and everything that talks to it."""
