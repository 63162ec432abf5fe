"""Facts in the few words that a narrow terminal has room for. Pure; every text is clean and free of markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tui.context_gauge import UNCUT, Outlook

if TYPE_CHECKING:
    from edgechat.chat.conversation import Message
    from edgechat.errors import EdgechatError


def answer_facts(message: Message) -> str:
    """Model, pace and waiting time of an answer, and why it ended early if it did."""
    parts = []
    if message.model:
        parts.append(clean_line(message.model))
    timing, usage = message.timing, message.usage
    if tokens := usage.get("completion_tokens"):
        parts.append(f"{tokens} tokens")
    if pace := timing.get("decode_tps"):
        parts.append(f"{pace:.0f} tok/s" if pace >= 10 else f"{pace:.1f} tok/s")
    if (first := timing.get("ttft_s")) is not None:
        parts.append(f"first after {first:.1f} s")
    if message.status != "complete":
        from edgechat.chat.export import ending  # noqa: PLC0415 - not needed before there is an answer

        parts.append(ending(message))
    elif message.finish_reason == "length":
        parts.append("cut at the longest answer allowed; ask it to go on")
    return " · ".join(parts)


def gauge(used: int, n_ctx: int, outlook: Outlook = UNCUT, width: int = 8) -> str:
    """How full the context is: ``▰▰▱▱▱▱▱▱ 1,234/4,096``; ``""`` while nothing is known.

    From half full on it says how many of the oldest messages go next, and always how many have gone.
    """
    if not n_ctx:
        return ""
    filled = min(width, max(1 if used else 0, round(width * used / n_ctx)))
    parts = [f"{outlook.unread} unread"] if outlook.unread else []
    if outlook.next:
        parts.append(f"oldest {outlook.next} go next")
    return " · ".join([*parts, f"{'▰' * filled}{'▱' * (width - filled)} {used:,}/{n_ctx:,}"])


def trouble(error: EdgechatError) -> str:
    """An error as a banner says it."""
    return clean_line(f"{error.message} {error.hint}")
