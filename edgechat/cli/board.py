"""``edgechat board``: the hardware of this machine and its sensors, once, repeatedly, or as a report for a fleet."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from edgechat.board.probe import summary
from edgechat.board.probe.board_file import to_json
from edgechat.board.probe.probe import probe
from edgechat.board.probe.summary import SummaryLine
from edgechat.board.vitals import summary as vitals_summary
from edgechat.board.vitals.vitals import read_vitals
from edgechat.cli.output.terminal import print_row
from edgechat.errors import EdgechatError, UsageError

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.board.vitals.vitals import Vitals
    from edgechat.engine.protocol.framing import Frame

_LABEL_WIDTH = 13
_REDRAW = "\x1b[H\x1b[J"
"""Move to the upper left corner and clear below it (ECMA-48), which flickers less than a full clear."""


@click.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON, as `models plan --board FILE` reads it; with --watch, one line per reading.",
)
@click.option("--watch", is_flag=True, help="Repeat: sensors, and how the engine reacts to them.")
@click.option("--report", "as_report", is_flag=True, help="Print the device report: one JSON object for a fleet.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between readings."
)
@click.option("--times", type=click.IntRange(1), help="Stop after this many readings, instead of at Ctrl-C.")
def board(*, as_json: bool, watch: bool, as_report: bool, interval: float, times: int | None) -> None:
    """Show this machine's hardware (memory, cores, accelerators) and its sensors (temperature, power, pressure).

    The report holds hardware, time, health, versions, counts, errors, and the p50 and p95 of recent latencies. It
    writes nothing, so it works with a read-only root and while the clock is not set.
    """
    if watch and as_report:
        raise UsageError("--watch and --report cannot be combined.", hint="Choose one of them.")
    if as_report:
        from edgechat.doctor.device_report import report  # noqa: PLC0415 - reads the models' store
        from edgechat.paths import Paths  # noqa: PLC0415

        click.echo(json.dumps(report(Paths.from_env()), ensure_ascii=False, indent=2))
    elif watch:
        _watch(interval, times, as_json=as_json)
    elif as_json:
        click.echo(json.dumps(to_json(probe()), ensure_ascii=False, indent=2))
    else:
        found = probe()
        click.secho(summary.title(found), bold=True)
        for line in (*summary.lines(found), *vitals_summary.lines(read_vitals())):
            print_row(line.label, line.text, label_width=_LABEL_WIDTH, colour="cyan")
        for number, note in enumerate(found.notes):
            print_row("" if number else "notes", note, label_width=_LABEL_WIDTH, colour="yellow")


def _watch(interval: float, times: int | None, *, as_json: bool) -> None:
    """Read the sensors repeatedly. A terminal is redrawn; a pipe gets one block, or one JSON line, per reading."""
    is_redrawn = sys.stdout.isatty() and not as_json
    n_readings = 0
    due = time.monotonic()
    while True:
        board_now, vitals = probe(), read_vitals()
        engine, error = _engine()
        if as_json:
            click.echo(json.dumps(_frame(board_now, vitals, engine, error), ensure_ascii=False))
        else:
            if is_redrawn:
                click.echo(_REDRAW, nl=False)
            _show(board_now, vitals, engine, error)
        sys.stdout.flush()
        n_readings += 1
        if n_readings == times:
            return
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))


def _engine() -> tuple[Frame | None, str]:
    """The engine's status, or None and the error."""
    from edgechat.engine.client.client import status  # noqa: PLC0415 - needed for --watch only
    from edgechat.paths import Paths  # noqa: PLC0415

    try:
        engines = status(Paths.from_env())
    except EdgechatError as error:
        return None, str(error)
    return (engines[0] if engines else None), ""


def _frame(board_now: Board, vitals: Vitals, engine: Frame | None, error: str) -> dict[str, Any]:
    from edgechat.tasks.result import timestamp  # noqa: PLC0415

    return {
        "utc": timestamp(time.time()),
        "memory": {"total": board_now.memory.total, "available": board_now.memory.available},
        "vitals": vitals.to_json(),
        "engine": engine,
        **({"engine_error": error} if error else {}),
    }


def _show(board_now: Board, vitals: Vitals, engine: Frame | None, error: str) -> None:
    click.secho(summary.title(board_now), bold=True)
    memory = board_now.memory
    first = SummaryLine("memory", f"{summary.size(memory.available)} of {summary.size(memory.total)} available")
    for line in (first, *vitals_summary.lines(vitals)):
        print_row(
            line.label,
            line.text,
            label_width=_LABEL_WIDTH,
            colour="red" if line.label == "held back" and vitals.throttling.now else "cyan",
        )
    for line in _engine_lines(engine, error):
        print_row(line.label, line.text, label_width=_LABEL_WIDTH, colour="cyan")


def _engine_lines(engine: Frame | None, error: str) -> list[SummaryLine]:
    if engine is None:
        return [SummaryLine("engine", error or "none is running")]
    label = f"{engine['model']}:{engine['quant']}" if engine.get("model") else "loading"
    stage, running = engine.get("stage"), engine.get("running")
    lines = [SummaryLine("engine", f"{label}, {stage}, {running} running, {summary.size(int(engine['rss_bytes']))}")]
    # An engine of another version may not send it.
    if care := engine.get("care"):
        reason = f": {care['reason']}" if care["reason"] else ""
        threads = f"{care['n_threads']} of {care['n_threads_planned']} threads"
        lines.append(SummaryLine("care", f"{care['name']}, {threads}{reason}"))
        if care["memory_tight"]:
            lines.append(SummaryLine("", f"memory is short: {care['memory_reason']}; caches dropped"))
        if care["last"]:
            lines.append(SummaryLine("last done", care["last"]))
    if (energy := engine.get("energy")) and energy["tokens_per_joule"] is not None:
        lines.append(SummaryLine("energy", f"{energy['tokens_per_joule']:.2f} tokens per joule ({energy['basis']})"))
    return lines
