"""The pool of free memory as a bar: weights, KV cache, compute, the rest of the engine, what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from edgechat.board.probe.summary import size

if TYPE_CHECKING:
    from edgechat.models.planning.plan import Plan

# Shapes tell the parts apart too, where there is no colour.
_PARTS = (
    ("weights", "█", "$primary"),
    ("kv", "▓", "$accent"),
    ("compute", "▒", "$success"),
    ("overhead", "░", "$secondary"),
)


class MemoryBar(Static):
    """Two lines: the bar, and what its parts are."""

    DEFAULT_CSS = "MemoryBar { height: auto; }"

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._plan: Plan | None = None

    def show(self, plan: Plan | None) -> None:
        """Draw a plan; None clears it."""
        self._plan = plan
        self._redraw()

    def on_resize(self) -> None:
        """As wide as there is room."""
        self._redraw()

    def _redraw(self) -> None:
        width = max(10, self.size.width - 2)
        plan = self._plan
        self.update(
            Content("") if plan is None else Content.assemble(bar(plan, width), "\n", key(plan, self.size.width))
        )


def bar(plan: Plan, width: int) -> Content:
    """The bar alone, ``width`` cells of the pool that this board can give."""
    memory = plan.memory
    whole = max(plan.available, memory.total, 1)
    parts: list[tuple[str, str]] = []
    used, taken = 0, 0
    for name, mark, style in _PARTS:
        taken += getattr(memory, name)
        end = round(width * taken / whole)
        parts.append((mark * (end - used), style))
        used = end
    return Content.assemble(*parts, ("·" * (width - used), "$text-muted"))


def key(plan: Plan, width: int) -> Content:
    """The parts with their sizes, in the order of the bar; closer together where ``width`` asks for it."""
    parts = []
    for name, mark, style in _PARTS:
        label = {"kv": "KV", "overhead": "rest"}.get(name, name)
        parts.append(Content.assemble((mark, style), f" {label} {size(getattr(plan.memory, name))}"))
    left = plan.available - plan.memory.host
    parts.append(Content(f"· {size(left)} free" if left > 0 else f"{size(-left)} too much"))
    joined = Content("  ").join(parts)
    return joined if joined.cell_length <= width else Content(" ").join(parts)
