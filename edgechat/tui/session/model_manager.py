"""Models as the models and first-run screens show and change them: list with plans, install, pin, roll back, remove.

All functions but :func:`references` may take seconds: call them in a worker thread.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.probe.probe import probe
from edgechat.errors import EdgechatError, TransferError
from edgechat.models.bundle import trust
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.catalog import licences
from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.download.update import rollback
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.planning.planner import plan_each
from edgechat.models.store.add import add, identify_in_catalog
from edgechat.models.store.installed import version_history
from edgechat.models.store.other_programs import find_model_files
from edgechat.models.store.pin import Pin, read_pin, write_pin
from edgechat.models.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgechat.board.board import Board
    from edgechat.chat.conversation import Conversation
    from edgechat.config import Config
    from edgechat.models.bundle.trust import UntrustedError
    from edgechat.models.planning.plan import Plan
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.other_programs import FoundFile
    from edgechat.paths import Paths

_PROGRESS_EVERY_S = 0.15


class InstallCancelledError(Exception):
    """The user cancelled; the bytes that arrived stay for the next try."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the list."""

    plan: Plan
    licence: str
    is_free: bool
    terms: str
    is_installed: bool
    is_pinned: bool
    purpose: str
    languages: tuple[str, ...]

    @property
    def label(self) -> str:
        """``NAME:QUANT`` as commands take it."""
        return f"{self.plan.model}:{self.plan.quant}"


@dataclass(frozen=True, slots=True)
class ModelList:
    """All models, planned for this board as it is now."""

    board: Board
    entries: tuple[ModelEntry, ...]

    @property
    def best(self) -> ModelEntry | None:
        """The best chat model that fits and needs no licence acceptance; None when none fits."""
        fitting = [each for each in self.entries if each.plan.fits and each.is_free and each.purpose == "chat"]
        return next((each for each in fitting if not each.is_installed), next(iter(fitting), None))


def list_models(paths: Paths, config: Config) -> ModelList:
    """Plan every model for this board.

    Raises:
        EdgechatError: store, catalog or a file cannot be read.
    """
    board = probe()
    wish = PlanRequest(n_ctx=config.n_ctx, threads=config.threads)
    catalog = {entry.name: entry for entry in load_catalog()}
    pin = read_pin(paths)
    entries = []
    for candidate, plan in plan_each(paths, board, wish, is_here=True, pin=pin):
        entry = catalog.get(candidate.name)
        entries.append(
            ModelEntry(
                plan=plan,
                licence=candidate.licence,
                is_free=candidate.is_free,
                terms=(entry.terms or "") if entry else "",
                is_installed=candidate.is_installed,
                is_pinned=pin is not None and (pin.model, pin.quant) == (candidate.name, candidate.quant),
                purpose=candidate.purpose,
                languages=entry.languages if entry else (),
            )
        )
    return ModelList(board, tuple(entries))


class InstallProgress:
    """Reports the progress of an installation several times a second, and cancels it from another thread.

    Args:
        report: gets a label, bytes done, and the total or None; called in the worker thread.
        note: gets sentences for the user.
    """

    def __init__(self, report: Callable[[str, int, int | None], None], note: Callable[[str], None]) -> None:
        self._report, self.note = report, note
        self._label, self._done = "", 0
        self._total: int | None = None
        self._reported_at = 0.0
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop the work at its next step."""
        self._cancelled.set()

    def begin(self, label: str, total: int | None, done: int = 0) -> None:
        """Start a step."""
        self._label, self._total, self._done = label, total, done
        self._update(is_forced=True)

    def advance(self, amount: int) -> None:
        """Add ``amount`` to what is done.

        Raises:
            InstallCancelledError: :meth:`cancel` was called.
        """
        self._done += amount
        self._update(is_forced=False)

    def end(self) -> None:
        """End a step."""

    def _update(self, *, is_forced: bool) -> None:
        if self._cancelled.is_set():
            raise InstallCancelledError
        now = time.monotonic()
        if is_forced or now - self._reported_at >= _PROGRESS_EVERY_S:
            self._reported_at = now
            self._report(self._label, self._done, self._total)


def pull(paths: Paths, model: ModelEntry, progress: InstallProgress) -> InstalledModel:
    """Download a model of the catalog.

    Raises:
        InstallCancelledError: it was cancelled.
        EdgechatError: the download failed; the hint says how to install the model by hand.
    """
    from edgechat.models.download.hub import Hub  # noqa: PLC0415 - takes half a second
    from edgechat.models.download.pull import pull as download  # noqa: PLC0415
    from edgechat.models.download.pull import resolve_entry  # noqa: PLC0415
    from edgechat.models.download.transfer import RetryPolicy  # noqa: PLC0415

    entry = load_catalog().find(model.label).entry
    if not entry.free:
        licences.require_accepted(paths, model.licence, model.terms, model.plan.model)
    hub, retry = Hub(), RetryPolicy(progress=progress)
    resolved = resolve_entry(hub, entry, model.plan.quant, retry=retry)
    return download(Store(paths), hub, resolved, progress=progress, retry=retry)


def accept_licence(paths: Paths, model: ModelEntry) -> None:
    """Record that the user accepted the licence terms of a model."""
    licences.accept(paths, licences.LicenceAcceptance(model.licence, model.terms, model.plan.model))


def add_file(paths: Paths, path: Path, progress: InstallProgress) -> InstalledModel:
    """Install a GGUF file of this machine.

    Raises:
        EdgechatError: the file is no model that can be loaded, or the store cannot be written.
    """
    return add(Store(paths), path, identify=identify_in_catalog, progress=progress)


def other_tools_files(env: Mapping[str, str]) -> list[FoundFile]:
    """Model files of other programs on this machine (Ollama, LM Studio, …)."""
    return find_model_files(env)


def adopt(paths: Paths, files: Sequence[FoundFile], progress: InstallProgress) -> InstalledModel:
    """Install files of other programs without copying them; returns the last one installed.

    Raises:
        EdgechatError: none could be installed; the error of the first one.
    """
    store, installed, errors = Store(paths), [], []
    for file in files:
        source = f"{file.tool}:{file.label}"
        try:
            installed.append(
                add(store, file.path, identify=identify_in_catalog, source=source, copy=False, progress=progress)
            )
        except EdgechatError as error:
            # The other files may still be usable.
            errors.append(error)
            progress.note(f"Left out {file.label}: {error}")
    if not installed:
        raise errors[0]
    return installed[-1]


def pin(paths: Paths, model: ModelEntry) -> bool:
    """Pin the model as the default, or unpin it; returns whether it is pinned now."""
    write_pin(paths, None if model.is_pinned else Pin(model.plan.model, model.plan.quant))
    return not model.is_pinned


def remove(paths: Paths, model: ModelEntry) -> int:
    """Remove a model; returns the bytes that were freed.

    Raises:
        EdgechatError: it is in use, or belongs to a Python package.
    """
    store = Store(paths)
    freed = store.remove(model.plan.model, model.plan.quant)
    store.finish_removals()
    if model.is_pinned:
        write_pin(paths, None)
    return freed


def versions(paths: Paths, model: ModelEntry) -> list[str]:
    """Installed versions of a model, the current one first; empty for a model that is not in the store."""
    return version_history(Store(paths).directory(model.plan.model, model.plan.quant))


def roll_back(paths: Paths, model: ModelEntry) -> tuple[str, str]:
    """Switch to the previous version, or back again; returns the versions left and entered.

    Raises:
        EdgechatError: there is no other version, or it is damaged.
    """
    return rollback(Store(paths), model.plan.model, model.plan.quant)


def references(
    model: ModelEntry, config: Config, in_use: str | None, conversations: Sequence[Conversation]
) -> list[str]:
    """What still uses a model that is about to be removed, one sentence each."""
    label = model.label.lower()
    names = {label, model.plan.model.lower()}
    found = []
    if model.is_pinned:
        found.append("It is pinned: the plan chooses again afterwards.")
    if config.model and config.model.lower() in names:
        found.append("config.toml names it: questions fail until that line is changed.")
    if in_use and in_use.lower() in names:
        found.append("This chat asks it: choose another before the next question.")
    n_answered = sum((each.model or "").lower() in names for each in conversations)
    if n_answered:
        counted = "One conversation was" if n_answered == 1 else f"{n_answered} conversations were"
        found.append(f"{counted} answered by it last; what was said stays, and another model goes on.")
    return found


def take_bundle(paths: Paths, bundle: Path, progress: InstallProgress) -> InstalledModel:
    """Install the models of a signed bundle; returns the last one.

    Raises:
        UntrustedError: its signing key is not trusted yet.
        EdgechatError: it is no bundle, it is damaged, or the disk cannot be written.
    """
    paths.require_models()
    _, models = import_bundle(Store(paths), bundle, progress=progress)
    if not models:
        raise TransferError(f"The bundle in {bundle} holds no model.")
    return models[-1]


def trust_publisher(paths: Paths, unknown: UntrustedError) -> str:
    """Trust the key that signed a bundle; returns its fingerprint."""
    return trust.trust_publisher(paths, unknown.root)
