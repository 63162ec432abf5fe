"""The OpenAI-compatible HTTP server, and the terminal UI in a browser."""
