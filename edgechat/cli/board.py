"""``edgechat board``: what this machine is and how it feels, once, again and again, or as a report for a fleet."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import click

from edgechat.board.probe import summary
from edgechat.board.probe.board_file import to_json
from edgechat.board.probe.probe import probe
from edgechat.board.probe.summary import SummaryLine
from edgechat.board.vitals import summary as vitals_summary
from edgechat.board.vitals.vitals import read_vitals
from edgechat.errors import EdgechatError, UsageError
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.board.vitals.vitals import Vitals
    from edgechat.engine.protocol.framing import Frame

_LABEL_WIDTH = 13
_HOME_AND_CLEAR = "\x1b[H\x1b[J"
"""To the upper left, and clear what is below (ECMA-48): the screen does not flicker as a full clear would."""


@click.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON, as `models plan --board FILE` reads it; with --watch, one line per look.",
)
@click.option("--watch", is_flag=True, help="Look again and again: sensors, and what the engine does about them.")
@click.option("--report", "as_report", is_flag=True, help="Print the device report: one JSON object for a fleet.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between looks."
)
@click.option("--times", type=click.IntRange(1), help="End after so many looks, instead of at Ctrl-C.")
def board(*, as_json: bool, watch: bool, as_report: bool, interval: float, times: int | None) -> None:
    """Show what this machine is (memory, cores, features, accelerators) and how it feels (heat, power, pressure).

    The report says what and when, health, versions, counts, errors, and the p50 and p95 of recent latencies. It is read
    from files and the engine's socket and writes nothing, so it works with a read-only root and the clock unset.
    """
    if watch and as_report:
        raise UsageError("--watch and --report are two things.", hint="Ask for one of them.")
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
        # Wider lines than this are hard to read, and a pipe has no width at all.
        width = _width()
        click.secho(summary.title(found), bold=True)
        for line in (*summary.lines(found), *vitals_summary.lines(read_vitals())):
            _row(line.label, line.text, width, "cyan")
        for number, note in enumerate(found.notes):
            _row("" if number else "notes", note, width, "yellow")


def _watch(interval: float, times: int | None, *, as_json: bool) -> None:
    """Look until told to stop. A terminal is redrawn; a pipe gets one block, or one JSON line, per look."""
    redraws = sys.stdout.isatty() and not as_json
    looks = 0
    due = time.monotonic()
    while True:
        seen, felt = probe(), read_vitals()
        engine, trouble = _engine()
        if as_json:
            click.echo(json.dumps(_frame(seen, felt, engine, trouble), ensure_ascii=False))
        else:
            if redraws:
                click.echo(_HOME_AND_CLEAR, nl=False)
            _show(seen, felt, engine, trouble)
        sys.stdout.flush()
        looks += 1
        if looks == times:
            return
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))


def _engine() -> tuple[Frame | None, str]:
    """What the engine says of itself, and why it could not be asked."""
    from edgechat.engine.client.client import status  # noqa: PLC0415 - --help and a plain look need no engine
    from edgechat.paths import Paths  # noqa: PLC0415

    try:
        engines = status(Paths.from_env())
    except EdgechatError as error:
        return None, str(error)
    return (engines[0] if engines else None), ""


def _frame(seen: Board, felt: Vitals, engine: Frame | None, trouble: str) -> dict[str, Any]:
    from edgechat.tasks.result import timestamp  # noqa: PLC0415

    return {
        "utc": timestamp(time.time()),
        "memory": {"total": seen.memory.total, "available": seen.memory.available},
        "vitals": felt.to_json(),
        "engine": engine,
        **({"engine_error": trouble} if trouble else {}),
    }


def _show(seen: Board, felt: Vitals, engine: Frame | None, trouble: str) -> None:
    width = _width()
    click.secho(summary.title(seen), bold=True)
    memory = seen.memory
    first = SummaryLine("memory", f"{summary.size(memory.available)} of {summary.size(memory.total)} available")
    for line in (first, *vitals_summary.lines(felt)):
        _row(line.label, line.text, width, "red" if line.label == "held back" and felt.throttling.now else "cyan")
    for line in _engine_lines(engine, trouble):
        _row(line.label, line.text, width, "cyan")


def _engine_lines(engine: Frame | None, trouble: str) -> list[SummaryLine]:
    if engine is None:
        return [SummaryLine("engine", trouble or "none is running")]
    label = f"{engine['model']}:{engine['quant']}" if engine.get("model") else "loading"
    stage, running = engine.get("stage"), engine.get("running")
    found = [SummaryLine("engine", f"{label}, {stage}, {running} running, {summary.size(int(engine['rss_bytes']))}")]
    # An engine of another version may not tell.
    if care := engine.get("care"):
        reason = f": {care['reason']}" if care["reason"] else ""
        threads = f"{care['n_threads']} of {care['n_threads_planned']} threads"
        found.append(SummaryLine("care", f"{care['name']}, {threads}{reason}"))
        if care["memory_tight"]:
            found.append(SummaryLine("", f"memory is short: {care['memory_reason']}; caches dropped"))
        if care["last"]:
            found.append(SummaryLine("last done", care["last"]))
    if (energy := engine.get("energy")) and energy["tokens_per_joule"] is not None:
        found.append(SummaryLine("energy", f"{energy['tokens_per_joule']:.2f} tokens per joule ({energy['basis']})"))
    return found


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))


def _row(label: str, text: str, width: int, colour: str) -> None:
    indent = " " * _LABEL_WIDTH
    wrapped = textwrap.wrap(clean_line(text), width - _LABEL_WIDTH, break_on_hyphens=False) or [""]
    click.echo(click.style(label.ljust(_LABEL_WIDTH), fg=colour) + f"\n{indent}".join(wrapped))
