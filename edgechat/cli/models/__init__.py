"""``edgechat models``: one module for each of its commands."""
