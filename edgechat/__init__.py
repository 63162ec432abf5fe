"""edgechat: an offline LLM assistant for edge boards. The public names are imported when they are first used."""

from typing import TYPE_CHECKING, Any

from edgechat.version import __version__

if TYPE_CHECKING:
    from edgechat.assistant import Answer, Assistant, AsyncAssistant
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
    "Trimmed",
    "__version__",
]
_HOMES = {
    **dict.fromkeys(("Answer", "Assistant", "AsyncAssistant"), "edgechat.assistant"),
    "Message": "edgechat.engine.protocol.request",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    # Every command imports this package, so what it exports must cost nothing until it is used.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES.get(name, "edgechat.engine.protocol.events")), name)
