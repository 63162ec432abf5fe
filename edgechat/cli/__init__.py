"""The commands: stdout is data, everything else goes to stderr."""
