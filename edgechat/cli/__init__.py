"""The commands: stdout is data, everything else goes to stderr."""

import time

BEGAN_S = time.monotonic()
"""When this process began, but for the interpreter's own start: what a person who sets a deadline counts from. Taken
here, before the rest is imported: that alone took 0.2 s on a busy machine."""
