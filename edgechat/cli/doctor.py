"""``edgechat doctor``: print what is wrong or slow on this machine, with the command that fixes it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import print_row
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
    "Exit codes: 0 no problem (there may be advice); otherwise the code of the most serious problem, with which other "
    "commands fail too: 8 the state directories or the models' disk cannot be used, 2 the configuration is wrong, "
    "6 llama.cpp or the engine does not work, 3 no model or none that fits, 4 the model file cannot be used. "
    'In --json every finding has an id, a level ("ok", "advice" or "problem"), a message, and the command that fixes '
    "it or null."
)


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: findings, kernels, config, directories.")
@click.option(
    "--proof", "as_proof", is_flag=True, help="Print a page for IT security: sockets, ports and files, with proof."
)
@click.option(
    "--language", type=click.Choice(["en", "ja"]), default="en", show_default=True, help="Language of the page."
)
def doctor(*, as_json: bool, as_proof: bool, language: Language) -> None:
    """Print what is wrong or slow on this machine, with the command that fixes it.

    Checks the llama.cpp build, the machine and its sensors, directories, caches, the engine and its crashes, models and
    settings. Changes nothing.

    With --proof: observes one question in a separate home and prints Markdown: sockets, ports, files, model hashes,
    licences and versions, each with the command that shows it.
    """
    if as_proof:
        if as_json:
            raise UsageError("--proof prints a page, not JSON.", hint="Choose --proof or --json.")
        from edgechat.doctor.offline_proof import proof  # noqa: PLC0415 - needed for --proof only

        click.echo(proof(Paths.from_env(), language, on_step=_print_step), nl=False)
        return
    # Not checked here: that another user can change a directory is a finding.
    found = examine(Paths.from_env(os.environ))
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        _print(found)
    if found.exit_code:
        raise click.exceptions.Exit(found.exit_code)


def _print_step(command: str) -> None:
    # Progress, because hashing a model of several gigabytes takes a while.
    if sys.stderr.isatty():
        click.secho(f"$ {command[:100]}", err=True, dim=True)


def _print(found: Examination) -> None:
    if found.kernels is not None:
        if found.build is not None and found.build.variant:
            print_row("variant", found.build.variant, label_width=_LABEL_WIDTH, colour="cyan")
        print_row("kernels", " ".join(found.kernels.in_use) or "generic only", label_width=_LABEL_WIDTH, colour="cyan")
        print_row("missing", " ".join(found.kernels.missing) or "none", label_width=_LABEL_WIDTH, colour="cyan")
    for label, rows in (("settings", found.settings), ("places", found.directories)):
        names = max(len(row.name) for row in rows)
        for number, row in enumerate(rows):
            value = "-" if row.value is None else clean_line(str(row.value))
            print_row(
                "" if number else label,
                f"{row.name:<{names}}  {value}  ({clean_line(row.origin)})",
                label_width=_LABEL_WIDTH,
                colour="cyan",
            )
    for level in Level:
        for number, finding in enumerate(f for f in found.findings if f.level is level):
            _finding(finding, is_first=not number)
    click.echo(_verdict(found))


def _finding(finding: Finding, *, is_first: bool) -> None:
    label = finding.level.value if is_first else ""
    print_row(label, finding.message, label_width=_LABEL_WIDTH, colour=_COLOURS[finding.level])
    if finding.command:
        # Not wrapped, so that it can be copied.
        click.echo(" " * _LABEL_WIDTH + click.style(f"  {clean_line(finding.command)}", bold=True))


def _verdict(found: Examination) -> str:
    problems = sum(f.level is Level.PROBLEM for f in found.findings)
    hints = sum(f.level is Level.ADVICE for f in found.findings)
    if problems:
        return f"{problems} problem{'s' if problems > 1 else ''}, {hints} to improve."
    return f"Nothing is wrong; {hints} to improve." if hints else "Nothing is wrong."
