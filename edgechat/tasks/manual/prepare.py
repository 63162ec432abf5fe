"""Reads sections ahead: each one's prefix (instructions and section) once, so that a question to it starts there.

The engine reads a prefix at the lowest priority and keeps its KV state on disk; any question stops it within one step,
and it goes on afterwards. Preparation ends at the bound of the disk, on battery and when the board is hot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.board.vitals.vitals import read_vitals
from edgechat.documents import prepared
from edgechat.engine.kv_cache.disk_cache import limit_bytes
from edgechat.engine.protocol.events import Prefilled, Slowed, Started
from edgechat.engine.protocol.request import Message, Request
from edgechat.tasks.manual.question import LAYOUT, prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgechat.documents.library import Library
    from edgechat.documents.stored import StoredDocument, StoredSection
    from edgechat.engine.client.client import EngineClient
    from edgechat.engine.protocol.request import Wish
    from edgechat.paths import Paths

_WRITTEN_S = 30.0
"""Longest wait for the engine to write a state behind an answer: an SD card takes some seconds for it."""
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """What became of one section."""

    section: StoredSection
    model: str
    tokens: int
    """Of the prefix; 0 where it was prepared before."""
    seconds: float
    bytes: int


@dataclass(slots=True)
class Preparation:
    """One run over the sections of documents; iterate :meth:`run`."""

    library: Library
    paths: Paths
    client: EngineClient
    wish: Wish
    stopped: str = ""
    """Why the run ended before its end."""
    is_hot: bool = False

    def plan(self, documents: Sequence[StoredDocument]) -> list[StoredSection]:
        """The sections in the order in which they will be read."""
        return prepared.in_order(self.library, documents)

    def run(
        self, sections: Sequence[StoredSection], *, may_go_on: Callable[[], str] | None = None
    ) -> Iterator[ReadAhead]:
        """Read sections ahead, one by one; sets :attr:`stopped` where it ends early.

        Args:
            sections: in order.
            may_go_on: says why not, or ``""``; by default :func:`obstacle`.
        """
        done = {(each.section, each.model): each for each in prepared.states(self.library, self.paths, layout=LAYOUT)}
        used = sum(each.bytes for each in done.values())
        model = ""
        for section in sections:
            if model and (section.id, model) in done:
                yield ReadAhead(section, model, 0, 0.0, 0)
                continue
            self.stopped = (may_go_on or obstacle)() or ("The board is hot." if self.is_hot else "")
            limit = limit_bytes(prepared.state_directory(self.paths))
            if used >= limit:
                self.stopped = f"The bound for states on disk is reached ({limit / 1e6:,.0f} MB)."
            if self.stopped:
                return
            read = self._read(section, may_go_on or obstacle)
            if read is None:
                return
            model = read.model
            used += read.bytes
            yield read

    def _read(self, section: StoredSection, may_go_on: Callable[[], str]) -> ReadAhead | None:
        """Read one section; None where :attr:`stopped` says why it was left."""
        began = time.monotonic()
        directory = prepared.state_directory(self.paths)
        before = _stamps(directory)
        prefix_alone = Request(
            messages=(Message("system", prefix(section)), Message("user", "")),
            wish=self.wish,
            prefill_only=True,
            keep_on_disk=True,
        )
        model, far = self._ask(prefix_alone)
        while not far.is_complete and far.cached_tokens + far.read_tokens > 0:
            # A question came in between.
            self.stopped = may_go_on()
            if self.stopped:
                return None
            model, far = self._ask(prefix_alone)
        file = _changed(directory, before) if far.is_kept else None
        if not far.is_complete:
            # It evicts nothing, and there was no place beside the conversations in the KV cache. An answer moves them
            # to memory, and the engine keeps its instructions too.
            answered = replace(
                prefix_alone,
                messages=(prefix_alone.messages[0], Message("user", ".")),
                prefill_only=False,
                keep_on_disk=False,
                max_tokens=1,
                is_batch=True,
                sampling={"temperature": 0.0},
            )
            model, far = self._ask(answered)
            file = _written(directory, before)
        size = 0
        if file is not None:
            tokens = far.prompt_tokens
            prepared.remember(self.library, section.id, model=model, layout=LAYOUT, file=file, tokens=tokens)
            size = file.stat().st_size
        return ReadAhead(section, model, far.prompt_tokens, time.monotonic() - began, size)

    def _ask(self, request: Request) -> tuple[str, Prefilled]:
        """Send a request: the model that took it (``NAME:QUANT``), and how far it was read."""
        model, far = "", Prefilled(1, 0, 0, is_kept=False)
        for event in self.client.generate(request):
            if isinstance(event, Started):
                model = f"{event.model}:{event.quant}"
                if not request.prefill_only:
                    read = event.prompt_tokens - event.cached_tokens
                    far = Prefilled(event.prompt_tokens, event.cached_tokens, read, is_kept=False)
            elif isinstance(event, Prefilled):
                far = event
            elif isinstance(event, Slowed):
                self.is_hot = event.level > 0
        return model, far


def obstacle() -> str:
    """Why nothing should be read ahead now, or ``""``."""
    if any(each.status == "Discharging" for each in read_vitals(ask_programs=False).power.batteries):
        return "The board runs on its battery."
    return ""


def _written(directory: Path, before: dict[Path, int]) -> Path | None:
    """The state that was written or used since ``before``; waits for the engine, which writes when it is idle."""
    until = time.monotonic() + _WRITTEN_S
    while (file := _changed(directory, before)) is None and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return file


def _changed(directory: Path, before: dict[Path, int]) -> Path | None:
    """The state that was written or used last since ``before``; None where there is none."""
    changed = {
        file: at
        for file, at in _stamps(directory).items()
        if at > before.get(file, 0) and file.with_suffix(".sha256").exists()
    }
    return max(changed, key=lambda file: changed[file], default=None)


def _stamps(directory: Path) -> dict[Path, int]:
    found = {}
    for file in directory.glob("*.kv"):
        try:
            found[file] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # the engine has just deleted it
    return found
