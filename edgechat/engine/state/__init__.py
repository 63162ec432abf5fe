"""What outlives an engine process: exit reasons, out-of-memory history, metrics, the log."""
