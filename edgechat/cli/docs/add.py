"""``edgechat docs add``: read files and folders into the index."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.chat.export import safe_json
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.documents.add import add as add_files
from edgechat.documents.formats import FORMATS
from edgechat.documents.library import DEFAULT_COLLECTION, Library
from edgechat.errors import InvalidInputError, UsageError
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.documents.add import AddReport

_LOOK_S = 5.0
"""Between two looks at a watched folder."""


@click.command(
    epilog="Exit code 4 when a file was skipped; the others are added. Again: only what has changed is read."
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", default=DEFAULT_COLLECTION, show_default=True, help="The collection to add to.")
@click.option("--watch", is_flag=True, help="Stay, and add what appears or changes, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(paths: tuple[Path, ...], name: str, *, watch: bool, as_json: bool) -> None:
    """Add text, Markdown, HTML, PDF, DOCX and CSV files, and those in folders.

    \b
    edgechat docs add pump.pdf
    edgechat docs add --name line2 manuals/
    """  # noqa: D301 - click reads the escape
    if not name.strip() or name != clean_line(name) or name.startswith("#"):
        raise UsageError(f"{name!r} is no name for a collection.", hint="Use letters, digits and spaces.")
    with Library.open(Paths.from_env()) as library:
        with ProgressBars() as bars:
            report = add_files(library, paths, name, progress=bars)
        if watch:
            _show(report, name, as_json=as_json)
            _watch(library, paths, name, as_json=as_json)
    if not watch:
        _show(report, name, as_json=as_json)
    if not report.added and not report.unchanged and not report.skipped:
        ends = ", ".join(sorted(FORMATS))
        raise InvalidInputError("There is no document in it.", hint=f"Documents end in {ends}.")
    if report.skipped:
        first = report.skipped[0].reason
        more = f" {len(report.skipped)} files were skipped." if len(report.skipped) > 1 else ""
        raise InvalidInputError(f"{first}{more}", hint="The other files were added." if report.added else "")


def _watch(library: Library, paths: tuple[Path, ...], name: str, *, as_json: bool) -> None:
    refused: dict[str, float] = {}
    say(f"Watching, every {_LOOK_S:.0f} s. Stop with Ctrl-C.")
    while True:
        time.sleep(_LOOK_S)
        there = [path for path in paths if path.exists()]
        report = add_files(library, there, name, is_quick=True)
        new = [each for each in report.skipped if refused.get(each.path) != _changed(each.path)]
        refused.update({each.path: _changed(each.path) for each in new})
        report.skipped = new
        for each in new:
            say(f"Skipped: {each.reason}")
        if report.added:
            _show(report, name, as_json=as_json)


def _changed(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0


def _show(report: AddReport, name: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(safe_json({"collection": name, **asdict(report)}))
        return
    for path in report.added:
        click.echo(f"Added {clean_line(path)}")
    facts = [f"{len(report.added)} added", f"{len(report.unchanged)} unchanged", f"{len(report.skipped)} skipped"]
    click.echo(f"Collection {name}: {', '.join(facts)}; {report.sections} sections are new or changed.")
