"""The server side of the engine's Unix socket: connections, limits, permissions of other users, the log of answers."""
