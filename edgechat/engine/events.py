"""Old import path of the events, which ``docs/python.md`` named before: now ``from edgechat import Done, Text``."""

from edgechat.engine.protocol.events import *  # noqa: F403 - the same names as before
