"""The plan of each known board, made once: candidates of the whole catalog take seconds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from edgechat.board.probe.board_file import load_board
from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.planning.candidate import from_entry
from edgechat.models.planning.fit import choose
from edgechat.models.planning.plan import PlanRequest

if TYPE_CHECKING:
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import Plan

CATALOG = load_catalog()


@lru_cache(maxsize=16)
def candidates(features: tuple[str, ...]) -> tuple[Candidate, ...]:
    """Every file of the catalog on a processor with these features."""
    return tuple(from_entry(entry, quant, features) for entry in CATALOG for quant in entry.files)


@lru_cache(maxsize=128)
def plan_of(name: str) -> Plan:
    """What the board of this name is recommended."""
    board = load_board(name)
    return choose(board, candidates(board.cpu.features), PlanRequest())
