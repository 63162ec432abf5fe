"""The machine: what it is (``probe``) and its state right now (``vitals``)."""
