"""edgechat: an offline LLM assistant for edge boards. The public names are imported when they are first used."""

import sys

if sys.argv[:1] == ["-m"] and any(each.startswith("edgechat") for each in sys.orig_argv):
    # `python -m edgechat` puts the current directory first on the module path: a file `token.py` there would be
    # imported in place of Python's own. The entry stays where this package itself was found through it.
    _parent = __file__.rpartition("/")[0].rpartition("/")[0]
    if not getattr(sys.flags, "safe_path", False) and sys.path[0] != _parent:
        del sys.path[0]

from typing import TYPE_CHECKING, Any

from edgechat.version import __version__

if TYPE_CHECKING:
    from edgechat.assistant import Answer, Assistant, AsyncAssistant, Tool, ToolCall
    from edgechat.engine.protocol.events import (
        Done,
        Event,
        Loading,
        Prefill,
        Queued,
        Recovered,
        Slowed,
        Started,
        Text,
        Trimmed,
    )
    from edgechat.engine.protocol.request import Message

__all__ = [
    "Answer",
    "Assistant",
    "AsyncAssistant",
    "Done",
    "Event",
    "Loading",
    "Message",
    "Prefill",
    "Queued",
    "Recovered",
    "Slowed",
    "Started",
    "Text",
    "Tool",
    "ToolCall",
    "Trimmed",
    "__version__",
]
_HOMES = {
    **dict.fromkeys(("Answer", "Assistant", "AsyncAssistant", "Tool", "ToolCall"), "edgechat.assistant"),
    "Message": "edgechat.engine.protocol.request",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    # Every command imports this package, so what it exports must cost nothing until it is used.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES.get(name, "edgechat.engine.protocol.events")), name)
