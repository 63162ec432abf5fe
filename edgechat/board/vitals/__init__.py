"""How this machine is right now: temperatures, clocks, power, memory pressure, flash wear."""
