"""``edgechat docs``: one module for each of its commands."""
