"""``edgechat models plan``: which model this board, or another one, can run, with which settings, and how fast."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgechat.cli.completion import complete_catalog
from edgechat.cli.model_options import require_name
from edgechat.cli.output.terminal import text_width
from edgechat.errors import DoesNotFitError
from edgechat.plaintext import megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.board.board import Board
    from edgechat.models.planning.plan import Alternative, Estimate, MemoryNeed, Plan
    from edgechat.paths import Paths

_LABEL_WIDTH = 10
_SMALLEST_CTX = 256
_PARTS = (("weights", "blue"), ("kv", "magenta"), ("compute", "cyan"), ("overhead", "yellow"))
_BLOCKS, _ASCII = "█▓▒░▚·", "#=+:x."


@click.command()
@click.argument("model", required=False, callback=require_name, shell_complete=complete_catalog)
@click.option("--board", "board_name", metavar="NAME|FILE", help="Plan for another board: its name, or a board file.")
@click.option(
    "--ctx", "n_ctx", type=click.IntRange(min=_SMALLEST_CTX), metavar="N", help="Context to plan for, in tokens."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(model: str | None, board_name: str | None, n_ctx: int | None, *, as_json: bool) -> None:
    """Show which model fits, with which settings, how fast it is, and why.

    Without MODEL, the best one for the board is chosen from the installed models and the catalog.
    """
    # Imported here, because pydantic takes 0.3 s and `--help` does not need it.
    from edgechat.board.probe.board_file import load_board  # noqa: PLC0415
    from edgechat.board.probe.probe import probe  # noqa: PLC0415
    from edgechat.cli.output.quick_measurement import measure_if_unknown  # noqa: PLC0415
    from edgechat.config import load  # noqa: PLC0415
    from edgechat.models.planning.plan import PlanRequest  # noqa: PLC0415
    from edgechat.models.planning.planner import plan_best, plan_model  # noqa: PLC0415
    from edgechat.models.store.pin import read_pin  # noqa: PLC0415
    from edgechat.paths import Paths  # noqa: PLC0415

    paths = Paths.from_env()
    is_here = board_name is None
    board = probe() if board_name is None else load_board(board_name)
    if is_here:
        measure_if_unknown(paths, board)
    config = load(paths.config)
    wish = PlanRequest(n_ctx=n_ctx or (config.n_ctx if is_here else None), threads=config.threads if is_here else None)
    if model is None:
        found = plan_best(paths, board, wish, is_here=is_here)
    else:
        pin = read_pin(paths) if is_here else None
        found = plan_model(paths, board, model, wish, is_here=is_here, pin=pin)
    file = _file(paths, found, model) if is_here else None
    if as_json:
        click.echo(json.dumps(to_json(found), ensure_ascii=False, indent=2))
    else:
        for line in _lines(found, board, text_width(), is_installed=file is not None):
            click.echo(line)
    if not found.fits:
        hint = "Close other programs, or choose a smaller model: edgechat models plan"
        if board_name is not None:
            hint = f"See what fits: {shlex.join(['edgechat', 'models', 'plan', '--board', board_name])}"
        raise DoesNotFitError(
            f"{found.model} does not fit: it needs at least {megabytes(found.memory.host)}, "
            f"and {megabytes(max(0, found.available - found.reserve))} may be used.",
            hint=hint,
        )


def _file(paths: Paths, plan: Plan, model: str | None) -> Path | None:
    """The planned file, if it is on this machine."""
    from edgechat.models.store.installed import installed  # noqa: PLC0415

    if model is not None and (path := Path(model).expanduser()).is_file():
        return path
    here = {(item.name, item.quant): item.path for item in installed(paths)}
    return here.get((plan.model, plan.quant))


def to_json(plan: Plan) -> dict[str, Any]:
    """What ``--json`` prints; sizes in bytes."""
    settings, memory = plan.settings, plan.memory
    return {
        "model": plan.model,
        "quant": plan.quant,
        "file_bytes": plan.file_bytes,
        "n_ctx": settings.n_ctx,
        "kv_type": settings.kv_type,
        "n_batch": settings.n_batch,
        "n_ubatch": settings.n_ubatch,
        "n_seq_max": settings.n_seq_max,
        "n_rollback": settings.n_rollback,
        "checkpoint_bytes": settings.checkpoint_bytes,
        "n_gpu_layers": settings.n_gpu_layers,
        "load_mode": settings.load_mode,
        "repack": settings.repack,
        "n_threads": settings.n_threads,
        "memory": {
            **{name: getattr(memory, name) for name, _ in _PARTS},
            "total": memory.total,
            "mapped": memory.mapped,
            "device": memory.device,
        },
        "available_bytes": plan.available,
        "reserve_bytes": plan.reserve,
        "fits": plan.fits,
        "estimated": {name: getattr(plan.estimated, name) for name in ("prefill_tps", "decode_tps", "basis")},
        "in_practice": in_practice(plan.estimated),
        "reasons": list(plan.reasons),
        "alternatives": [asdict(item) for item in plan.alternatives],
    }


def in_practice(estimated: Estimate) -> dict[str, Any]:
    """What the speeds mean for a person; seconds until the answer begins. None where nothing is predicted."""
    from edgechat.models.planning.explain import seconds  # noqa: PLC0415

    words = estimated.words_per_minute
    return {
        "words_per_minute": None if words is None else round(words),
        "question_s": seconds(estimated.question_s),
        "page_s": seconds(estimated.page_s),
        "careful_decode_tps": None if estimated.careful_tps is None else round(estimated.careful_tps, 1),
        "rests_on": estimated.rests_on,
    }


def _lines(plan: Plan, board: Board, width: int, *, is_installed: bool) -> Iterator[str]:
    verdict = click.style("fits", fg="green") if plan.fits else click.style("does not fit", fg="red")
    yield f"{click.style(f'{plan.model}:{plan.quant.lower()}', bold=True)} {verdict} on {board.name or board.model}"
    share = f"{plan.memory.host / plan.available:.0%}" if plan.available else "all"
    where = "on this disk" if is_installed else "to download"
    yield f"{megabytes(plan.file_bytes)} {where}, {share} of the free memory when it runs"
    yield ""
    yield _label("memory") + _memory_bar(plan, width - _LABEL_WIDTH)
    marks = _marks()
    parts = [
        f"{click.style(mark, fg=colour)} {name} {_mb(getattr(plan.memory, name))}"
        for mark, (name, colour) in zip(marks, _PARTS, strict=False)
    ]
    yield _label("") + "  ".join(parts) + f"  = {megabytes(plan.memory.total)}"
    yield _label("") + f"{marks[-1]} free {megabytes(plan.available)}, of which {megabytes(plan.reserve)} stay free"
    settings = plan.settings
    layers = f", {settings.n_gpu_layers} layers on the GPU" if settings.n_gpu_layers else ""
    repack = "repacked" if settings.repack else "not repacked"
    yield from _row(
        "settings",
        f"n_ctx {settings.n_ctx}, KV {settings.kv_type}, batch {settings.n_batch}/{settings.n_ubatch}, "
        f"{settings.n_threads} threads, {settings.load_mode}, {repack}{layers}",
        width,
    )
    yield from _row("speed", _speed(plan), width)
    if plan.estimated.page_s is not None:
        yield from _row("", _waits(plan.estimated), width)
    yield ""
    for number, reason in enumerate(plan.reasons):
        yield from _row("" if number else "why", reason, width)
    if plan.alternatives:
        yield ""
        yield from _table(plan.alternatives, width)


def _memory_bar(plan: Plan, width: int) -> str:
    """A bar of the free memory: the parts of the plan, then what is left, then the reserve."""
    whole = max(plan.available, plan.memory.host)
    cells = width - 2
    text, used, taken, marks = "", 0, 0.0, _marks()
    for mark, (name, colour) in zip(marks, _PARTS, strict=False):
        taken += _in_ram(plan.memory, name)
        end = round(cells * taken / whole) if whole else 0
        text += click.style(mark * (end - used), fg=colour)
        used = end
    kept = min(cells - used, round(cells * plan.reserve / whole)) if whole else 0
    left = cells - used - kept
    return f"[{text}{marks[-1] * left}{marks[-2] * kept}]"


def _in_ram(memory: MemoryNeed, name: str) -> float:
    """A part's share of the RAM. What is on a device is not known per part, so each part is reduced equally."""
    return float(getattr(memory, name)) * (memory.host / memory.total if memory.total else 0)


def _speed(plan: Plan) -> str:
    decode, prefill = plan.estimated.decode_tps, plan.estimated.prefill_tps
    if decode is None or prefill is None:
        return "not predicted: what does not fit is read from the disk again for every token"
    how = {
        "calibrated": "measured on this board",
        "published": "predicted from published measurements of such a board",
        "starter": "predicted from the starter model, measured on this board",
        "bandwidth": "predicted from data sheets",
        "assumed": "assumed: nothing is known of this board",
    }
    return f"prefill {prefill:g}, decode {decode:g} tok/s ({how.get(plan.estimated.basis, plan.estimated.basis)})"


def _waits(estimated: Estimate) -> str:
    from edgechat.models.planning.explain import duration  # noqa: PLC0415
    from edgechat.models.planning.speed import PAGE_TOKENS, QUESTION_TOKENS  # noqa: PLC0415

    if estimated.question_s is None or estimated.page_s is None or estimated.words_per_minute is None:
        return ""
    return (
        f"{duration(estimated.question_s)} until the answer to a {QUESTION_TOKENS}-token question begins, "
        f"{duration(estimated.page_s)} for a {PAGE_TOKENS:,}-token page; then about "
        f"{estimated.words_per_minute:.0f} words a minute"
    )


def _table(alternatives: tuple[Alternative, ...], width: int) -> Iterator[str]:
    names = [f"{item.model}:{item.quant.lower()}" for item in alternatives]
    first = max(len(name) for name in names)
    yield click.style(f"{'INSTEAD OF':<{first}}  {'N_CTX':>6}  {'MB':>7}  {'TOK/S':>5}  WHY NOT", bold=True)
    for name, item in zip(names, alternatives, strict=True):
        pace = f"{item.decode_tps:.3g}" if item.decode_tps is not None else "-"
        start = f"{name:<{first}}  {item.n_ctx:>6}  {_mb(item.total):>7}  {pace:>5}  "
        lines = textwrap.wrap(item.why_not, max(20, width - len(start)))
        yield start + f"\n{' ' * len(start)}".join(lines)


def _row(label: str, text: str, width: int) -> Iterator[str]:
    wrapped = textwrap.wrap(text, width - _LABEL_WIDTH, break_on_hyphens=False) or [""]
    for number, line in enumerate(wrapped):
        yield _label("" if number else label) + line


def _label(text: str) -> str:
    return click.style(text.ljust(_LABEL_WIDTH), fg="cyan")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f}"


def _marks() -> str:
    """The characters of the memory bar: one for each part of the plan, then reserve and free; ASCII if needed."""
    try:
        _BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _BLOCKS
