"""``edgechat models pull``: download a model from the hub, if it fits this board and its licence is accepted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgechat.board.probe.summary import size
from edgechat.cli.completion import complete_catalog
from edgechat.cli.models.next_answer import announce
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.errors import DoesNotFitError, UsageError
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
    from edgechat.models.planning.plan import PlanRequest

_MAX_REASONS_SHOWN = 3


@click.command()
@click.argument("model", required=False, shell_complete=complete_catalog)
@click.option("--accept-licence", is_flag=True, help="You have read the model's licence and accept it.")
@click.option("--force", is_flag=True, help="Download it even if it does not fit this board.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before downloading the recommended model.")
def pull(model: str | None, *, accept_licence: bool, force: bool, yes: bool) -> None:
    """Download MODEL from the hub: NAME[:QUANT] of the catalog, or ORG/REPO[:QUANT|:FILE].

    Without MODEL, the model that the plan recommends for this board. To continue an interrupted download, run the same
    command again.
    """
    from edgechat.models.download.hub import Hub  # noqa: PLC0415
    from edgechat.models.download.pull import pull as fetch  # noqa: PLC0415
    from edgechat.models.download.transfer import RetryPolicy  # noqa: PLC0415

    paths = Paths.from_env()
    paths.require_models()
    ref = _recommended(paths, yes=yes) if model is None else parse_reference(model)
    if ref is None:
        return
    with ProgressBars() as bars:
        hub, retry = Hub(), RetryPolicy(progress=bars)
        # The recommended model was planned just now: what could not be measured then is not tried again.
        resolved = _resolve(
            paths, hub, ref, accept_licence=accept_licence, force=force, retry=retry, measures=model is not None
        )
        fetched = fetch(Store(paths), hub, resolved, progress=bars, retry=retry)
    say(f"{fetched.label} is installed: {fetched.path}")
    announce(paths, [fetched])


def _resolve(
    paths: Paths, hub: Hub, ref: ModelRef, *, accept_licence: bool, force: bool, retry: RetryPolicy, measures: bool
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
    quant = _fitting_quant(paths, ref, force=force, measures=measures)
    return resolve_entry(hub, entry, quant, retry=retry)


def _recommended(paths: Paths, *, yes: bool) -> ModelRef | None:
    """The model that the plan recommends; None when it is installed already."""
    from edgechat.models.planning.planner import plan_best  # noqa: PLC0415
    from edgechat.models.store.installed import installed  # noqa: PLC0415

    board, request = _board_and_request(paths, measures=True)
    plan = plan_best(paths, board, request, is_here=True)
    label = f"{plan.model}:{plan.quant}"
    if not plan.fits:
        raise DoesNotFitError("No model of the catalog fits this board.", hint="See why: edgechat models plan")
    if any((model.name, model.quant) == (plan.model, plan.quant) for model in installed(paths)):
        say(f"{label} is what this board runs best, and it is installed.")
        return None
    say(f"{label} is what this board runs best; {size(plan.file_bytes)} to fetch.")
    for reason in plan.reasons[:_MAX_REASONS_SHOWN]:
        say(clean_line(reason), indent="  ")
    if not yes and sys.stdin.isatty():
        click.confirm("Fetch it?", default=True, abort=True, err=True)
    return parse_reference(label)


def _fitting_quant(paths: Paths, ref: ModelRef, *, force: bool, measures: bool) -> str:
    """The named quantization, or the plan's choice.

    Raises:
        DoesNotFitError: it does not fit this board, and ``force`` is not set.
    """
    from edgechat.models.planning.planner import plan_model  # noqa: PLC0415

    board, request = _board_and_request(paths, measures=measures)
    plan = plan_model(paths, board, str(ref), request, is_here=True)
    if not plan.fits and not force:
        raise DoesNotFitError(
            f"{plan.model}:{plan.quant} needs at least {size(plan.memory.total)}, and this board has "
            f"{size(plan.available)} free, of which {size(plan.reserve)} must stay free.",
            hint=f"See what fits: edgechat models plan. To fetch it anyway: edgechat models pull {ref} --force",
        )
    return plan.quant


def _require_memory(model: ResolvedModel) -> None:
    """Refuse a file that is larger than all memory of the board. Its plan can be made only after the download.

    Raises:
        DoesNotFitError: it is larger.
    """
    from edgechat.board.probe.probe import probe  # noqa: PLC0415

    board = probe()
    most = board.memory.total + sum(device.total for device in board.accelerators if not device.unified)
    if model.size > most:
        raise DoesNotFitError(
            f"{model.name}:{model.quant} has {size(model.size)}, and this board has {size(most)} of memory in all.",
            hint="Choose a smaller quantization or model, or fetch it anyway with --force.",
        )


def _board_and_request(paths: Paths, *, measures: bool) -> tuple[Board, PlanRequest]:
    """This board, measured first where ``measures`` is set and its speed is not known."""
    from edgechat.board.probe.probe import probe  # noqa: PLC0415
    from edgechat.cli.output.quick_measurement import measure_if_unknown  # noqa: PLC0415
    from edgechat.config import load  # noqa: PLC0415
    from edgechat.models.planning.plan import PlanRequest  # noqa: PLC0415

    config = load(paths.config)
    board = probe()
    if measures:
        measure_if_unknown(paths, board)
    return board, PlanRequest(n_ctx=config.n_ctx, threads=config.threads)


def _check_licence(paths: Paths, entry: CatalogEntry, *, accept: bool) -> None:
    from edgechat.models.catalog import licences  # noqa: PLC0415

    if entry.free:
        return
    terms = entry.terms or ""
    if accept:
        licences.accept(paths, licences.LicenceAcceptance(entry.licence, terms, entry.name))
    licences.require_accepted(paths, entry.licence, terms, entry.name)
