"""``edgechat models pull`` and ``edgechat models add``: from the hub, from a file, from other programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.board.probe.summary import size
from edgechat.cli.output.progress_bars import Bars
from edgechat.cli.output.terminal import say
from edgechat.errors import DoesNotFitError, EdgechatError, UsageError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.models.catalog.entry import CatalogEntry
    from edgechat.models.catalog.names import ModelRef
    from edgechat.models.download.hub import Hub
    from edgechat.models.download.pull import ResolvedModel
    from edgechat.models.download.transfer import RetryPolicy
    from edgechat.models.planning.candidate import PlanRequest
    from edgechat.models.store.installed import InstalledModel

_REASONS_SHOWN = 3


@click.command()
@click.argument("model", required=False)
@click.option("--accept-licence", is_flag=True, help="You have read the model's licence and accept it.")
@click.option("--force", is_flag=True, help="Fetch it although it does not fit this board.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before fetching what the plan recommends.")
def pull(model: str | None, *, accept_licence: bool, force: bool, yes: bool) -> None:
    """Fetch MODEL from the hub: NAME[:QUANT] of the catalog, or ORG/REPO[:QUANT|:FILE].

    Without MODEL it takes what the plan recommends for this board. An interrupted download goes on where it stopped
    when the same command is run again.
    """
    from edgechat.models.download.hub import Hub  # noqa: PLC0415
    from edgechat.models.download.pull import pull as fetch  # noqa: PLC0415
    from edgechat.models.download.transfer import RetryPolicy  # noqa: PLC0415

    paths = Paths.from_env()
    paths.require_models()
    ref = _recommended(paths, yes=yes) if model is None else parse_reference(model)
    if ref is None:
        return
    with Bars() as bars:
        hub, retry = Hub(), RetryPolicy(progress=bars)
        resolved = _resolve(paths, hub, ref, accept_licence=accept_licence, force=force, retry=retry)
        fetched = fetch(Store(paths), hub, resolved, progress=bars, retry=retry)
    say(f"{fetched.label} is installed: {fetched.path}")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--found", "adopt", is_flag=True, help="Adopt the models of Ollama, LM Studio, llama.cpp and the hub's cache."
)
@click.option("--name", default="", help="What to call it; otherwise the catalog or the file's header says.")
@click.option(
    "--mmproj", type=click.Path(path_type=Path), help="The projector published with it, which lets it see images."
)
def add(file: Path | None, *, adopt: bool, name: str, mmproj: Path | None) -> None:
    """Take a GGUF FILE into the store, by hard link where the disk allows it."""
    from edgechat.models.store.add import add as add_file  # noqa: PLC0415
    from edgechat.models.store.add import identify_in_catalog  # noqa: PLC0415

    if (file is None) != adopt or (adopt and (name or mmproj)):
        raise UsageError("Give either a FILE or --found.", hint="For example: edgechat models add model.gguf")
    store = Store(Paths.from_env())
    if adopt:
        _adopt(store)
        return
    assert file is not None  # noqa: S101 - one of the two was given
    with Bars() as bars:
        projector = mmproj.expanduser() if mmproj else None
        added = add_file(
            store, file.expanduser(), name=name, projector=projector, identify=identify_in_catalog, progress=bars
        )
    say(_added(added))


def _resolve(
    paths: Paths, hub: Hub, ref: ModelRef, *, accept_licence: bool, force: bool, retry: RetryPolicy
) -> ResolvedModel:
    from edgechat.models.catalog.catalog import load_catalog  # noqa: PLC0415 - 0.3 s
    from edgechat.models.download.pull import resolve_entry, resolve_repository  # noqa: PLC0415

    if ref.kind == "path":
        raise UsageError(f"{ref.name} is a file.", hint=f"Run: edgechat models add {ref.name}")
    if ref.kind == "hub":
        resolved = resolve_repository(hub, ref, retry=retry)
        if not force:
            _require_memory(resolved)
        return resolved
    entry = load_catalog().find(str(ref)).entry
    _check_licence(paths, entry, accept=accept_licence)
    quant = _fitting_quant(paths, ref, force=force)
    return resolve_entry(hub, entry, quant, retry=retry)


def _recommended(paths: Paths, *, yes: bool) -> ModelRef | None:
    """The model that the plan recommends; None when it is installed already."""
    from edgechat.models.planning.planner import plan_best  # noqa: PLC0415
    from edgechat.models.store.installed import installed  # noqa: PLC0415

    board, request = _board_and_request(paths)
    plan = plan_best(paths, board, request, is_here=True)
    label = f"{plan.model}:{plan.quant}"
    if not plan.fits:
        raise DoesNotFitError("No model of the catalog fits this board.", hint="See why: edgechat models plan")
    if any((model.name, model.quant) == (plan.model, plan.quant) for model in installed(paths)):
        say(f"{label} is what this board runs best, and it is installed.")
        return None
    say(f"{label} is what this board runs best; {size(plan.file_bytes)} to fetch.")
    for reason in plan.reasons[:_REASONS_SHOWN]:
        say(clean_line(reason), indent="  ")
    if not yes and sys.stdin.isatty():
        click.confirm("Fetch it?", default=True, abort=True, err=True)
    return parse_reference(label)


def _fitting_quant(paths: Paths, ref: ModelRef, *, force: bool) -> str:
    """The given quantization, or the plan's; refuses a model that this board cannot run."""
    from edgechat.models.planning.planner import plan_model  # noqa: PLC0415

    board, request = _board_and_request(paths)
    plan = plan_model(paths, board, str(ref), request, is_here=True)
    if not plan.fits and not force:
        raise DoesNotFitError(
            f"{plan.model}:{plan.quant} needs {size(plan.memory.total)} at least, and this board has "
            f"{size(plan.available)} free with {size(plan.reserve)} to be left alone.",
            hint=f"See what fits: edgechat models plan. To fetch it all the same: edgechat models pull {ref} --force",
        )
    return plan.quant


def _require_memory(model: ResolvedModel) -> None:
    """Refuse a file that is larger than all memory; a plan is possible only when its header is here."""
    from edgechat.board.probe.probe import probe  # noqa: PLC0415

    board = probe()
    most = board.memory.total + sum(device.total for device in board.accelerators if not device.unified)
    if model.size > most:
        raise DoesNotFitError(
            f"{model.name}:{model.quant} has {size(model.size)}, and this board has {size(most)} of memory in all.",
            hint="Choose a smaller quantization or model, or fetch it all the same with --force.",
        )


def _board_and_request(paths: Paths) -> tuple[Board, PlanRequest]:
    from edgechat.board.probe.probe import probe  # noqa: PLC0415
    from edgechat.config import load  # noqa: PLC0415
    from edgechat.models.planning.candidate import PlanRequest  # noqa: PLC0415

    config = load(paths.config)
    return probe(), PlanRequest(n_ctx=config.n_ctx, threads=config.threads)


def _check_licence(paths: Paths, entry: CatalogEntry, *, accept: bool) -> None:
    from edgechat.models.catalog import licences  # noqa: PLC0415

    if entry.free:
        return
    terms = entry.terms or ""
    if accept:
        licences.accept(paths, licences.LicenceAcceptance(entry.licence, terms, entry.name))
    licences.require_accepted(paths, entry.licence, terms, entry.name)


def _adopt(store: Store) -> None:
    from edgechat.models.store.add import add as add_file  # noqa: PLC0415
    from edgechat.models.store.add import identify_in_catalog  # noqa: PLC0415
    from edgechat.models.store.other_programs import find_model_files  # noqa: PLC0415

    files = find_model_files(os.environ)
    if not files:
        say("Ollama, LM Studio, llama.cpp and the hub's cache hold no model here.")
    for file in files:
        try:
            with Bars() as bars:
                source = f"{file.tool}:{file.label}"
                model = add_file(
                    store, file.path, identify=identify_in_catalog, source=source, copy=False, progress=bars
                )
        except EdgechatError as error:
            # One file that cannot be used must not keep the others away.
            say(f"left out: {clean_line(f'{file.tool} {file.label}: {error}')}", fg="yellow")
        else:
            say(f"{clean_line(f'{file.tool} {file.label}')}: {_added(model)}")


def _added(model: InstalledModel) -> str:
    shared = model.path.stat().st_nlink > 1
    return f"{model.label} is installed, {size(model.file_bytes)}{' shared with the original' if shared else ''}."
