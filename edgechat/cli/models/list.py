"""``edgechat models list``: the installed models, unfinished downloads, damaged files, and the catalog."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edgechat.board.probe.summary import size
from edgechat.cli.models.next_answer import find_next
from edgechat.cli.output.table import Column, print_table
from edgechat.cli.output.terminal import say
from edgechat.errors import EdgechatError
from edgechat.models.store.installed import damaged, installed
from edgechat.models.store.pin import Pin, read_pin
from edgechat.models.store.store import Store
from edgechat.paths import Paths

if TYPE_CHECKING:
    from edgechat.models.store.installed import InstalledModel

_INSTALLED = (
    Column("  MODEL"),
    Column("SIZE"),
    Column("LICENCE", rank=1, least=10),
    Column("LANGUAGES", rank=2, least=9),
    Column("FROM", rank=3, least=12),
)
_CATALOG = (
    Column("  CATALOG"),
    Column("BOARD"),
    Column("FILES", may_go_below=True),
    Column("LICENCE", rank=1, least=20),  # room for the note "(to be accepted)"
    Column("LANGUAGES", rank=2, least=9),
)


@click.command("list")
@click.option("--all", "with_catalog", is_flag=True, help="Also show the models of the catalog.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, with_catalog: bool, as_json: bool) -> None:
    """Show the installed models and their size on disk."""
    paths = Paths.from_env()
    report = _report(paths, with_catalog=with_catalog)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        _print_report(report)


def _report(paths: Paths, *, with_catalog: bool) -> dict[str, Any]:
    """What ``--json`` prints."""
    import shutil  # noqa: PLC0415

    pin = read_pin(paths)
    found = installed(paths)
    report: dict[str, Any] = {
        "models": [_model_json(model, pin) for model in found],
        "next": _next_json(paths),
        "damaged": [{"path": str(entry.path), "reason": entry.reason} for entry in damaged(paths)],
        "unfinished": [{"model": label, "bytes": count} for label, count in Store(paths).unfinished().items()],
        "quarantined": [{"model": label, "bytes": count} for label, count in Store(paths).quarantined().items()],
        "directory": str(paths.models),
        "free_bytes": shutil.disk_usage(_existing_directory(paths)).free,
    }
    if with_catalog:
        from edgechat.models.catalog.catalog import load_catalog  # noqa: PLC0415 - 0.3 s

        report["catalog"] = [
            {
                "model": entry.name,
                "quants": {quant: file.bytes for quant, file in sorted(entry.files.items())},
                "tier_gb": entry.tier_gb,
                "licence": entry.licence,
                "needs_acceptance": not entry.free,
                "languages": list(entry.languages),
                "vision": entry.vision is not None,
            }
            for entry in load_catalog()
        ]
    return report


def _next_json(paths: Paths) -> dict[str, str] | None:
    """The model that answers where none is named, and why; the reason alone where none can."""
    try:
        found = find_next(paths)
    except EdgechatError as error:
        return {"model": "", "quant": "", "why": error.message}
    return None if found is None else {"model": found.model.name, "quant": found.model.quant, "why": found.reason}


def _existing_directory(paths: Paths) -> str:
    folder = paths.require_models()
    while not folder.exists():
        folder = folder.parent
    return str(folder)


def _model_json(model: InstalledModel, pin: Pin | None) -> dict[str, Any]:
    return {
        "model": model.name,
        "quant": model.quant,
        "in_use": pin is not None and (pin.model, pin.quant) == (model.name, model.quant),
        "file_bytes": model.file_bytes,
        "path": str(model.path),
        "sha256": model.sha256,
        "version": model.version,
        "source": model.source,
        "licence": model.licence,
        "languages": list(model.languages),
        "vision": model.mmproj is not None,
    }


def _print_report(report: dict[str, Any]) -> None:
    rows = [
        (
            ("* " if model["in_use"] else "  ") + f"{model['model']}:{model['quant']}",
            size(model["file_bytes"]),
            model["licence"] or "-",
            _languages(model["languages"]),
            model["source"],
        )
        for model in report["models"]
    ]
    if rows:
        print_table(_INSTALLED, rows)
    else:
        say("No model is installed. Fetch one that fits this board: edgechat models pull")
    if (following := report["next"]) is not None:
        label = f"{following['model']}:{following['quant']} answers" if following["model"] else "No model answers"
        say(f"{label} where none is named: {following['why']}.".replace("..", "."))
    for entry in report["damaged"]:
        say(f"damaged: {entry['path']}: {entry['reason']}", fg="red")
    for entry in report["unfinished"]:
        say(f"not finished: {entry['model']}, {size(entry['bytes'])}; pull it again to continue, or rm it", fg="yellow")
    for entry in report["quarantined"]:
        say(f"in quarantine: {entry['model']}, {size(entry['bytes'])}; pull it again, or rm it", fg="yellow")
    if "catalog" in report:
        click.echo()
        catalog = [
            (
                "  " + entry["model"],
                f"{entry['tier_gb']:g} GB",
                ", ".join(f"{quant} {size(count)}" for quant, count in entry["quants"].items()),
                entry["licence"] + (" (to be accepted)" if entry["needs_acceptance"] else ""),
                _languages(entry["languages"]),
            )
            for entry in report["catalog"]
        ]
        print_table(_CATALOG, catalog)
    say(f"{report['directory']}: {size(report['free_bytes'])} free")


def _languages(codes: list[str]) -> str:
    limit = 6
    return (" ".join(codes[:limit]) + (f" +{len(codes) - limit}" if len(codes) > limit else "")) or "-"
