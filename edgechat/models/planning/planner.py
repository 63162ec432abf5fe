"""Plans from the files of this installation: reads store, catalog, licences and calibration, and calls the fit.

Reads headers, never weights, and does not probe the board.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import ModelNotFoundError
from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.catalog.licences import acceptances
from edgechat.models.catalog.names import nearest_hint, parse_reference
from edgechat.models.gguf import header as gguf
from edgechat.models.planning.board_speed import with_starter_speed
from edgechat.models.planning.calibration import read_calibration
from edgechat.models.planning.candidate import Candidate, from_entry, from_installed
from edgechat.models.planning.fit import choose, least_pace
from edgechat.models.planning.plan import Alternative, Plan, PlanRequest
from edgechat.models.store.installed import InstalledModel, installed

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.models.catalog.names import ModelRef
    from edgechat.models.store.pin import Pin
    from edgechat.paths import Paths


def plan_best(paths: Paths, board: Board, request: PlanRequest, *, is_here: bool) -> Plan:
    """The plan for the best model for a board, among the installed models and the catalog.

    Args:
        paths: the store, licences and calibration to read.
        board: the machine.
        request: settings to keep to.
        is_here: whether ``board`` is this machine; installed models and measurements count only then.

    Raises:
        StateError: the store, the catalog, the licences or the calibration cannot be read.
        InvalidModelFileError: an installed file is damaged.
    """
    board = _measured_board(paths, board, is_here=is_here)
    return choose(board, _all(paths, board, is_here=is_here), request)


def plan_model(
    paths: Paths, board: Board, reference: str, request: PlanRequest, *, is_here: bool, pin: Pin | None = None
) -> Plan:
    """The plan for one model: a catalog or installed name, with or without ``:QUANT``, or the path of a GGUF file.

    The model that :func:`plan_best` would choose is added to the alternatives. The model that ``pin`` names is planned
    as the engine loads it: in the pinned quantization, with the pinned context where the request names none.

    Raises:
        ModelNotFoundError: no model has that name; the hint names the nearest.
        UsageError: the reference has no known form.
        StateError, InvalidModelFileError: as :func:`plan_best`.
    """
    board = _measured_board(paths, board, is_here=is_here)
    ref = parse_reference(reference)
    candidates = _all(paths, board, is_here=is_here)
    if ref.kind == "path":
        files = [_from_path(paths, Path(ref.name).expanduser(), board, is_here=is_here)]
    else:
        files = [item for item in candidates if item.name == ref.name and ref.quant in ("", item.quant)]
        if not files:
            raise _unknown(ref, reference, candidates)
    named = replace(request, purpose=files[0].purpose, any_licence=True)
    if pin is not None and (pinned := [item for item in files if _is_pinned(item, pin)]):
        files, named = pinned, replace(named, n_ctx=request.n_ctx or pin.n_ctx)
    plan = choose(board, files, named)
    best = choose(board, candidates, request)
    if (best.model, best.quant) == (plan.model, plan.quant) or not best.fits:
        return plan
    settings, total = best.settings, best.memory.total
    other = Alternative(
        best.model, best.quant, settings.n_ctx, settings.kv_type, total, fits=True, why_not="recommended for this board"
    )
    known = tuple(item for item in plan.alternatives if (item.model, item.quant) != (best.model, best.quant))
    return replace(plan, alternatives=(*known, other))


def plan_each(
    paths: Paths, board: Board, request: PlanRequest, *, is_here: bool, pin: Pin | None = None
) -> list[tuple[Candidate, Plan]]:
    """A plan for every installed file, and for the best file of every other model of the catalog.

    Installed files come first, then by fitness: what the choice would take first comes first; models that superseded
    ones come after the others of the same fitness. The file that ``pin`` names is planned with the pin's context, as
    the engine loads it; a context of the request comes before that.

    Raises:
        StateError, InvalidModelFileError: as :func:`plan_best`.
    """
    board = _measured_board(paths, board, is_here=is_here)
    groups: dict[tuple[str, str], list[Candidate]] = {}
    candidates = _all(paths, board, is_here=is_here)
    here = {item.name for item in candidates if item.is_installed}
    for item in candidates:
        if item.is_installed or item.name not in here:
            groups.setdefault((item.name, item.quant if item.is_installed else ""), []).append(item)
    planned = []
    for files in groups.values():
        named = replace(request, purpose=files[0].purpose, any_licence=True)
        if pin is not None and _is_pinned(files[0], pin):
            named = replace(named, n_ctx=request.n_ctx or pin.n_ctx)
        plan = choose(board, files, named)
        planned.append((next(item for item in files if item.quant == plan.quant), plan))
    return sorted(planned, key=lambda each: (not each[0].is_installed, *_unfitness(each[0], each[1], request)))


def _is_pinned(item: Candidate, pin: Pin) -> bool:
    return item.is_installed and (item.name, item.quant) == (pin.model, pin.quant)


def _unfitness(candidate: Candidate, plan: Plan, request: PlanRequest) -> tuple[bool, bool, bool, int, float]:
    """Smaller is fitter: it fits, keeps reading pace, is current, answers better, is faster."""
    pace = plan.estimated.careful_tps or 0.0
    is_slow = pace < least_pace(candidate, request)
    return (not plan.fits, is_slow, bool(candidate.superseded_by), -candidate.quality, -pace)


def _measured_board(paths: Paths, board: Board, *, is_here: bool) -> Board:
    return with_starter_speed(board, read_calibration(paths, board)) if is_here else board


def _all(paths: Paths, board: Board, *, is_here: bool) -> list[Candidate]:
    """Every candidate; an installed file replaces the same file of the catalog."""
    catalog = load_catalog()
    features = board.cpu.features
    accepted = acceptances(paths)
    found = {
        (entry.name, quant): from_entry(entry, quant, features, accepted=accepted)
        for entry in catalog
        for quant in entry.files
    }
    if is_here:
        entries = {entry.name: entry for entry in catalog}
        measured = read_calibration(paths, board)
        for model in installed(paths):
            header = gguf.read_header(model.path)
            found[model.name, model.quant] = from_installed(model, header, features, entries.get(model.name), measured)
    return list(found.values())


def _from_path(paths: Paths, path: Path, board: Board, *, is_here: bool) -> Candidate:
    if not path.is_file():
        raise ModelNotFoundError(f"There is no file {path}.", hint="Name a GGUF file that exists.")
    header = gguf.read_header(path)
    model = InstalledModel(path.stem.lower(), header.quant, path, header.file_size, None, "", f"file:{path}")
    measured = read_calibration(paths, board) if is_here else {}
    return from_installed(model, header, board.cpu.features, measured=measured)


def _unknown(ref: ModelRef, reference: str, candidates: list[Candidate]) -> ModelNotFoundError:
    quants = sorted({item.quant for item in candidates if item.name == ref.name})
    if quants:
        return ModelNotFoundError(f"{ref.name} has no {ref.quant}.", hint=f"It has {', '.join(quants)}.")
    if ref.kind == "hub":
        return ModelNotFoundError(
            f"{reference} is not in the catalog, and planning asks no network.",
            hint=f"Fetch it first: edgechat models pull {reference}",
        )
    names = {item.name for item in candidates}
    return ModelNotFoundError(f"{reference} is not a model edgechat knows.", hint=nearest_hint(ref.name, names))
