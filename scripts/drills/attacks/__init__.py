"""Attacks on an edgechat of any version, through its command line, its socket and its HTTP server."""
