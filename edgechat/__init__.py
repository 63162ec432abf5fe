"""edgechat: an offline LLM assistant for edge boards."""

from edgechat.version import __version__

__all__ = ["__version__"]
