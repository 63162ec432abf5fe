"""edgechat: an offline LLM assistant for edge boards."""

from typing import TYPE_CHECKING, Any

from edgechat.version import __version__

if TYPE_CHECKING:
    from edgechat.assistant import Answer, Assistant, AsyncAssistant

__all__ = ["Answer", "Assistant", "AsyncAssistant", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    # The command line imports this package for every command; the Python API costs nothing until it is named.
    if name in {"Answer", "Assistant", "AsyncAssistant"}:
        from edgechat import assistant  # noqa: PLC0415

        return getattr(assistant, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
