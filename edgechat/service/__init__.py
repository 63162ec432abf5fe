"""The server as a systemd service: its unit, notifications and installation; and the removal of edgechat's files."""
