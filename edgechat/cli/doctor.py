"""``edgechat doctor``: what is wrong or slow here, and the command that mends it."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from edgechat.doctor.examination import Examination, examine
from edgechat.doctor.finding import Level
from edgechat.errors import UsageError
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.doctor.finding import Finding
    from edgechat.doctor.offline_proof_texts import Language

_COLOURS = {Level.OK: "green", Level.ADVICE: "yellow", Level.PROBLEM: "red"}
_LABEL_WIDTH = 9
_EPILOG = (
    "Exit codes: 0 nothing is a problem (there may be advice); otherwise that of the gravest problem, which is the one "
    "that other commands end with: 8 the state directories or the models' disk cannot be used, 2 the configuration is "
    "wrong, 6 llama.cpp or the engine does not work, 3 no model or none that fits, 4 the model file cannot be used. "
    'A script that wants the advice too reads --json: every finding has an id, a level ("ok", "advice" or '
    '"problem"), a message, and the command that mends it or null.'
)


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: findings, kernels, config, directories.")
@click.option("--proof", "as_proof", is_flag=True, help="Print a page for IT security: what is opened and written.")
@click.option("--language", type=click.Choice(["en", "ja"]), default="en", show_default=True, help="Of the page.")
def doctor(*, as_json: bool, as_proof: bool, language: Language) -> None:
    """Say what is wrong or slow here, and the command that mends it.

    Looks at llama.cpp's build, the machine and its sensors, the directories, caches, the engine and how engines died,
    the models and the settings. Changes nothing.

    With --proof: asks one question under observation, in a home of its own, and prints Markdown: sockets, ports, files,
    model hashes, licences, versions, each with the command that shows it.
    """
    if as_proof:
        if as_json:
            raise UsageError("--proof is a page, not JSON.", hint="Ask for one of them.")
        from edgechat.doctor.offline_proof import proof  # noqa: PLC0415 - half of what it imports no examination needs

        click.echo(proof(Paths.from_env(), language, on_step=_step), nl=False)
        return
    found = examine(Paths.from_env())
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        _print(found)
    if found.exit_code:
        raise click.exceptions.Exit(found.exit_code)


def _step(command: str) -> None:
    # A model of some gigabytes takes a while to hash.
    if sys.stderr.isatty():
        click.secho(f"$ {command[:100]}", err=True, dim=True)


def _print(found: Examination) -> None:
    # Wider lines than this are hard to read, and a pipe has no width at all.
    width = max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))
    if found.kernels is not None:
        _row("kernels", " ".join(found.kernels.in_use) or "plain ones only", width, "cyan")
        _row("missing", " ".join(found.kernels.missing) or "none", width, "cyan")
    for label, rows in (("settings", found.settings), ("places", found.directories)):
        names = max(len(row.name) for row in rows)
        for number, row in enumerate(rows):
            value = "-" if row.value is None else clean_line(str(row.value))
            _row("" if number else label, f"{row.name:<{names}}  {value}  ({clean_line(row.origin)})", width, "cyan")
    for level in Level:
        for number, finding in enumerate(f for f in found.findings if f.level is level):
            _finding(finding, width, is_first=not number)
    click.echo(_verdict(found))


def _finding(finding: Finding, width: int, *, is_first: bool) -> None:
    _row(finding.level.value if is_first else "", clean_line(finding.message), width, _COLOURS[finding.level])
    if finding.command:
        # A command is never wrapped: it is there to be copied.
        click.echo(" " * _LABEL_WIDTH + click.style(f"  {clean_line(finding.command)}", bold=True))


def _row(label: str, text: str, width: int, colour: str) -> None:
    indent = " " * _LABEL_WIDTH
    wrapped = textwrap.wrap(text, width - _LABEL_WIDTH, break_on_hyphens=False) or [""]
    click.echo(click.style(label.ljust(_LABEL_WIDTH), fg=colour) + f"\n{indent}".join(wrapped))


def _verdict(found: Examination) -> str:
    problems = sum(f.level is Level.PROBLEM for f in found.findings)
    hints = sum(f.level is Level.ADVICE for f in found.findings)
    if problems:
        return f"{problems} problem{'s' if problems > 1 else ''}, {hints} to improve."
    return f"Nothing is wrong; {hints} to improve." if hints else "Nothing is wrong."
