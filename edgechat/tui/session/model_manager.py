"""What the models screen shows and does, without a widget: plans for this board, pulling, adding, pinning, removing.

Everything here may take seconds: call it in a worker thread.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.probe.probe import probe
from edgechat.errors import EdgechatError
from edgechat.models.catalog import licences
from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.planning.candidate import PlanRequest
from edgechat.models.planning.planner import plan_each
from edgechat.models.store.add import add, identify_in_catalog
from edgechat.models.store.installed import Pin, read_pin, write_pin
from edgechat.models.store.other_programs import find_model_files
from edgechat.models.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.models.planning.plan import Plan
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.other_programs import FoundFile
    from edgechat.paths import Paths

_TOLD_EVERY_S = 0.15


class CancelledPullError(Exception):
    """The person changed their mind; what arrived stays for the next try."""


@dataclass(frozen=True, slots=True)
class Book:
    """One model on the shelf."""

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
class Shelf:
    """All models, as this board sees them now."""

    board: Board
    books: tuple[Book, ...]

    @property
    def best(self) -> Book | None:
        """What this board would run best of what needs no acceptance; None when nothing fits."""
        fitting = [book for book in self.books if book.plan.fits and book.is_free and book.purpose == "chat"]
        return next((book for book in fitting if not book.is_installed), next(iter(fitting), None))


def shelf(paths: Paths, config: Config) -> Shelf:
    """Plan every model for this board.

    Raises:
        EdgechatError: store, catalog or a file cannot be read.
    """
    board = probe()
    wish = PlanRequest(n_ctx=config.n_ctx, threads=config.threads)
    entries = {entry.name: entry for entry in load_catalog()}
    pin = read_pin(paths)
    books = []
    for candidate, plan in plan_each(paths, board, wish, is_here=True):
        entry = entries.get(candidate.name)
        books.append(
            Book(
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
    return Shelf(board, tuple(books))


class Telling:
    """Passes the progress of a pull on, now and then, and ends it when it is to be cancelled.

    Args:
        tell: gets a label, what is done, the total or None; from the worker's thread.
        note: gets sentences.
    """

    def __init__(self, tell: Callable[[str, int, int | None], None], note: Callable[[str], None]) -> None:
        self._tell, self.note = tell, note
        self._label, self._done = "", 0
        self._total: int | None = None
        self._told_at = 0.0
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End the work at its next step."""
        self._cancelled.set()

    def begin(self, label: str, total: int | None, done: int = 0) -> None:
        """Work starts."""
        self._label, self._total, self._done = label, total, done
        self._step(is_last=True)

    def advance(self, amount: int) -> None:
        """More is done.

        Raises:
            CancelledPullError: it is to end here.
        """
        self._done += amount
        self._step(is_last=False)

    def end(self) -> None:
        """The work has ended."""

    def _step(self, *, is_last: bool) -> None:
        if self._cancelled.is_set():
            raise CancelledPullError
        now = time.monotonic()
        if is_last or now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            self._tell(self._label, self._done, self._total)


def pull(paths: Paths, book: Book, progress: Telling) -> InstalledModel:
    """Fetch a model of the catalog.

    Raises:
        CancelledPullError: it was cancelled.
        EdgechatError: it could not be fetched; the hint says how to bring it by hand.
    """
    from edgechat.models.download.hub import Hub  # noqa: PLC0415 - half a second that only a pull is worth
    from edgechat.models.download.pull import pull as fetch  # noqa: PLC0415
    from edgechat.models.download.pull import resolve_entry  # noqa: PLC0415
    from edgechat.models.download.transfer import RetryPolicy  # noqa: PLC0415

    entry = load_catalog().find(book.label).entry
    if not entry.free:
        licences.require_accepted(paths, book.licence, book.terms, book.plan.model)
    hub, retry = Hub(), RetryPolicy(progress=progress)
    resolved = resolve_entry(hub, entry, book.plan.quant, retry=retry)
    return fetch(Store(paths), hub, resolved, progress=progress, retry=retry)


def accept_licence(paths: Paths, book: Book) -> None:
    """Record that the person has read and accepted the terms of a model."""
    licences.accept(paths, licences.LicenceAcceptance(book.licence, book.terms, book.plan.model))


def add_file(paths: Paths, path: Path, progress: Telling) -> InstalledModel:
    """Take a GGUF file of this machine into the store.

    Raises:
        EdgechatError: it is no model that could be loaded, or the store cannot take it.
    """
    return add(Store(paths), path, identify=identify_in_catalog, progress=progress)


def others(env: Mapping[str, str]) -> list[FoundFile]:
    """Model files that other programs on this machine hold."""
    return find_model_files(env)


def adopt(paths: Paths, files: Sequence[FoundFile], progress: Telling) -> InstalledModel:
    """Take files of other programs into the store without copying; the last that could be taken.

    Raises:
        EdgechatError: none could be taken; what kept the first away.
    """
    store, taken, faults = Store(paths), [], []
    for file in files:
        source = f"{file.tool}:{file.label}"
        try:
            taken.append(
                add(store, file.path, identify=identify_in_catalog, source=source, copy=False, progress=progress)
            )
        except EdgechatError as error:
            # One file that cannot be used must not keep the others away.
            faults.append(error)
            progress.note(f"Left out {file.label}: {error}")
    if not taken:
        raise faults[0]
    return taken[-1]


def pin(paths: Paths, book: Book) -> bool:
    """Fix the model that answers when none is named, or leave the choice to the plan again; whether it is fixed now."""
    write_pin(paths, None if book.is_pinned else Pin(book.plan.model, book.plan.quant))
    return not book.is_pinned


def remove(paths: Paths, book: Book) -> int:
    """Remove a model; the bytes that were freed.

    Raises:
        EdgechatError: it is in use, or came with a Python package.
    """
    store = Store(paths)
    freed = store.remove(book.plan.model, book.plan.quant)
    store.finish_removals()
    if book.is_pinned:
        write_pin(paths, None)
    return freed
