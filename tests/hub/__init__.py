"""A model hub on loopback for tests: it speaks the hub's HTTP protocol and misbehaves on request."""
