"""Findings about this machine, this installation and its state. Looks and says; changes nothing."""
