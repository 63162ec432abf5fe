"""Running unattended: units for systemd, what a supervisor is told, and taking edgechat off a machine again."""
