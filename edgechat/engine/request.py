"""Old import path of :class:`Message`, which ``docs/python.md`` named before: now ``from edgechat import Message``."""

from edgechat.engine.protocol.request import Message, Request

__all__ = ["Message", "Request"]
