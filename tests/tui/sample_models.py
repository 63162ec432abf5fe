"""A board and a shelf of models written by hand: what the snapshots and pictures of screens show never changes."""

from __future__ import annotations

from edgechat.board.probe.board_file import load_board
from edgechat.models.planning.plan import Estimate, LoadSettings, MemoryNeed, Plan
from edgechat.tui.session.model_manager import ModelEntry, ModelList

BOARD = load_board("pi5-8gb")
FREE = 7_200_000_000


def plan(
    model: str,
    quant: str,
    file_mb: int,
    kv_mb: int,
    speed: float | None,
    *,
    n_ctx: int = 8192,
    basis: str = "bandwidth",
) -> Plan:
    """A plan whose parts add up."""
    memory = MemoryNeed(file_mb * 10**6, kv_mb * 10**6, 150 * 10**6, 60 * 10**6)
    fits = memory.total <= FREE
    reason = "Chosen: the best quantization whose whole need fits the free memory." if fits else "The weights alone "
    reason += "" if fits else "are larger than what is free."
    settings = LoadSettings(n_ctx, n_threads=4, n_threads_batch=4)
    return Plan(
        model, quant, file_mb * 10**6, settings, memory, FREE, 600 * 10**6, fits,
        Estimate(None, speed, basis if speed else "unknown"), (reason,),
    )  # fmt: skip


def entry(
    of: Plan, licence: str, *, is_installed: bool = False, is_pinned: bool = False, is_free: bool = True
) -> ModelEntry:
    """A chat model of the catalog."""
    return ModelEntry(of, licence, is_free, "https://example.com/terms", is_installed, is_pinned, "chat", ("en",))


MODELS = ModelList(
    BOARD,
    (
        entry(plan("smollm2-135m-instruct", "Q4_1", 98, 95, 61.0, basis="calibrated"), "Apache-2.0", is_installed=True),
        entry(plan("qwen2.5-1.5b-instruct", "Q4_K_M", 986, 230, 11.4), "Apache-2.0", is_installed=True, is_pinned=True),
        entry(plan("qwen2.5-7b-instruct", "Q4_K_M", 4683, 470, 2.4), "Apache-2.0"),
        entry(plan("gemma-2-2b-it", "Q4_K_M", 1709, 850, 6.6), "Gemma", is_free=False),
        entry(plan("phi-4", "Q4_K_M", 9053, 1600, None, n_ctx=4096), "MIT"),
    ),
)
