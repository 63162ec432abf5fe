"""A bar of the memory that a plan needs: weights, KV cache, compute, the rest of the engine, and what stays free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from edgechat.board.probe.summary import size

if TYPE_CHECKING:
    from edgechat.models.planning.plan import Plan

# Different characters, so that the parts can be told apart without colour.
_PARTS = (
    ("weights", "█", "$primary"),
    ("kv", "▓", "$accent"),
    ("compute", "▒", "$success"),
    ("overhead", "░", "$secondary"),
)


class MemoryBar(Static):
    """Two lines: the bar and its legend."""

    DEFAULT_CSS = "MemoryBar { height: auto; }"

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._plan: Plan | None = None

    def show(self, plan: Plan | None) -> None:
        """Draw a plan; None clears it."""
        self._plan = plan
        self._redraw()

    def on_resize(self) -> None:
        """Use the whole width."""
        self._redraw()

    def _redraw(self) -> None:
        width = max(10, self.size.width - 2)
        plan = self._plan
        self.update(
            Content("") if plan is None else Content.assemble(bar(plan, width), "\n", legend(plan, self.size.width))
        )


def bar(plan: Plan, width: int) -> Content:
    """The bar: ``width`` cells for the memory that is available on this board."""
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


def legend(plan: Plan, width: int) -> Content:
    """The parts with their sizes, in the order of the bar; narrower spacing where ``width`` requires it."""
    parts = []
    for name, mark, style in _PARTS:
        label = {"kv": "KV", "overhead": "rest"}.get(name, name)
        parts.append(Content.assemble((mark, style), f" {label} {size(getattr(plan.memory, name))}"))
    left = plan.available - plan.memory.host
    parts.append(Content(f"· {size(left)} free" if left > 0 else f"{size(-left)} too much"))
    joined = Content("  ").join(parts)
    return joined if joined.cell_length <= width else Content(" ").join(parts)
