"""The command line: one module for each command. Standard output is data; everything else goes to standard error."""

import time

BEGAN_S = time.monotonic()
"""Start time of this process, from which ``run --timeout`` counts. Read before other imports, which took 0.2 s on
a busy machine."""
