"""``edgechat bench``: measure speed and memory of a model on this board, and save the results for later plans."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

import click

from edgechat.cli.model_options import require_name
from edgechat.cli.output.quick_measurement import measure_starter_here
from edgechat.cli.output.terminal import say
from edgechat.errors import DoesNotFitError, EngineError, ModelBusyError, UsageError, WrongModelError

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.plan import LoadSettings, MemoryNeed
    from edgechat.paths import Paths


@click.command()
@click.argument("model", required=False, callback=require_name)
@click.option("--quick", is_flag=True, help="Only the starter model, in seconds: what plans of other models rest on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON that can be shared: no names of machine or user.")
def bench(model: str | None, *, quick: bool, as_json: bool) -> None:
    """Measure prefill, decode and peak memory on this board, and save them for `models plan` and the engine.

    MODEL is an installed model or a GGUF file; without it, the model that would answer now. Takes from seconds to a few
    minutes. Other running programs make the results worse.
    """
    # Imported here, because `--help` does not need them.
    from edgechat.board.probe.probe import probe  # noqa: PLC0415
    from edgechat.config import load  # noqa: PLC0415
    from edgechat.engine.client.client import status  # noqa: PLC0415
    from edgechat.engine.protocol.request import Wish  # noqa: PLC0415
    from edgechat.engine.selection.benchmark import DISTURBED_BELOW, calibrate  # noqa: PLC0415
    from edgechat.engine.selection.model_choice import find_models  # noqa: PLC0415
    from edgechat.models.gguf import header  # noqa: PLC0415
    from edgechat.models.planning.calibration import best, file_key, keep  # noqa: PLC0415
    from edgechat.models.planning.candidate import from_installed  # noqa: PLC0415
    from edgechat.models.planning.fit import ladder  # noqa: PLC0415
    from edgechat.models.planning.installed_choice import choose_installed  # noqa: PLC0415
    from edgechat.models.planning.memory_need import BARE, memory_need  # noqa: PLC0415
    from edgechat.models.planning.plan import PlanRequest  # noqa: PLC0415
    from edgechat.paths import Paths  # noqa: PLC0415

    paths = Paths.from_env()
    if status(paths):
        raise ModelBusyError("An engine is running and would share cores and memory.", hint="Stop it: edgechat stop")
    if quick:
        _measure_starter(paths, has_others=model is not None or as_json)
        return
    config = load(paths.config)
    wanted = find_models(Wish.of(model), paths=paths, config=config)
    n_ctx = wanted.n_ctx
    board = probe()
    found = choose_installed(
        board, wanted.models, PlanRequest(n_ctx=n_ctx, threads=config.threads, offload=False)
    ).model
    candidate = from_installed(found, header.read_header(found.path), board.cpu.features)
    if candidate.purpose == "embedding":
        raise WrongModelError(f"{found.label} is an embedding model; bench measures models that write text.")
    plans = [
        plan
        for plan in ladder(board, candidate, PlanRequest(n_ctx=n_ctx, threads=config.threads, offload=False))
        if plan.fits
    ]
    if not plans:
        raise DoesNotFitError(f"{found.label} does not fit.", hint=f"See: edgechat models plan {found.label}")
    settings = plans[0].settings
    say(f"{found.label}, n_ctx {settings.n_ctx}, {settings.n_threads} threads")
    began = time.monotonic()
    results = calibrate(board, candidate, found.path, settings, on_start=_announce, on_result=_report)
    keep(paths, board, file_key(found.name, found.quant, found.file_bytes), results)
    chosen = best(results)
    if chosen is None:  # calibrate() raises when nothing could be measured
        raise EngineError(f"{found.label} could not be measured.")
    like = replace(settings, load_mode=chosen.load_mode, repack=chosen.repack, n_ubatch=chosen.n_ubatch)
    predicted = memory_need(candidate.shape, candidate.weights, like, process=BARE)
    if as_json:
        document = {
            "model": found.name,
            "quant": found.quant,
            "file_bytes": found.file_bytes,
            "n_ctx": settings.n_ctx,
            "best": asdict(chosen),
            "measurements": [asdict(item) for item in results],
            "predicted_peak_bytes": predicted.total,
            "total_s": round(time.monotonic() - began, 1),
            "board": shareable(board),
            "llama": installed_version("llama-cpp-python"),
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    for line in _table(results, chosen):
        click.echo(line)
    click.echo(_verdict(chosen, predicted))
    if any(item.cpu_share < DISTURBED_BELOW for item in results):
        least = min(item.cpu_share for item in results)
        say(
            f"Other programs used up to {1 - least:.0%} of the processor, so these results are too low. "
            "Measure again when no other program is busy."
        )


def _measure_starter(paths: Paths, *, has_others: bool) -> None:
    """What ``--quick`` does.

    Raises:
        UsageError: there are other arguments.
        EngineError: it could not be measured.
    """
    from edgechat.board.probe.probe import probe  # noqa: PLC0415

    if has_others:
        raise UsageError("--quick measures the starter model and takes neither MODEL nor --json.")
    if not measure_starter_here(paths, probe(), why="A quick measurement"):
        raise EngineError("The starter model could not be measured.", hint="Try again when no program is busy.")


def shareable(board: Board) -> dict[str, Any]:
    """The facts about a board that a row of the project's speed table needs; nothing names the machine or its user."""
    return {
        "board": board.name,
        "model": board.model,
        "kind": board.kind,
        "power_mode": board.power_mode,
        "cpu": asdict(board.cpu),
        "memory_bytes": board.memory.total,
        "bandwidth": board.memory.bandwidth,
        "accelerators": [{"kind": each.kind, "name": each.name, "bytes": each.total} for each in board.accelerators],
    }


def _announce(settings: LoadSettings) -> None:
    click.echo(f"  {_load_mode_text(settings.load_mode, repack=settings.repack)}, ubatch {settings.n_ubatch}, "
               f"{settings.n_threads} threads: ", nl=False, err=True)  # fmt: skip


def _report(result: Measurement | EngineError) -> None:
    if isinstance(result, EngineError):
        say(result.message)
    else:
        say(f"prefill {result.prefill_tps:.1f}, decode {result.decode_tps:.1f} tok/s")


def _table(results: list[Measurement], chosen: Measurement) -> list[str]:
    lines = [
        click.style(
            f"{'WEIGHTS':<18} {'UBATCH':>6} {'THREADS':>7} {'LOAD s':>7} {'PREFILL':>8} {'DECODE':>7} {'PEAK MB':>8}",
            bold=True,
        )
    ]
    for item in results:
        way = _load_mode_text(item.load_mode, repack=item.repack)
        row = (
            f"{way:<18} {item.n_ubatch:>6} {item.n_threads:>7} {item.load_s:>7.2f} {item.prefill_tps:>8.1f} "
            f"{item.decode_tps:>7.1f} {item.peak_rss_bytes / 1e6:>8,.0f}"
        )
        lines.append(click.style(f"{row}  chosen", fg="green") if item is chosen else row)
    return lines


def _verdict(chosen: Measurement, predicted: MemoryNeed) -> str:
    error = predicted.total / chosen.peak_rss_bytes - 1
    power = ""
    if chosen.tokens_per_joule is not None:
        power = f" Decoding gives {chosen.tokens_per_joule:.2f} tokens per joule of {chosen.joules_of}."
    return (
        f"Saved: plans on this board use these results from now on. Peak memory {chosen.peak_rss_bytes / 1e6:,.0f} MB, "
        f"predicted {predicted.total / 1e6:,.0f} MB ({error:+.1%}).{power}"
    )


def _load_mode_text(load_mode: str, *, repack: bool) -> str:
    return {"mmap": "mapped", "read": "read"}[load_mode] + (" and repacked" if repack else "")
