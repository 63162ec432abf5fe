"""what scripts/boards runs: the kit on processors that are not at hand, emulated by QEMU."""
