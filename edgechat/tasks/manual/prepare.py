"""Reads sections ahead: each one's prefix (instructions and section) once, so that a question to it starts there.

The engine keeps the KV state on disk, like that of any instructions. Preparation has batch priority, stops where the
bound of the disk is reached, and pauses nothing: it gives way on battery and when the board is hot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.board.vitals.vitals import read_vitals
from edgechat.documents import prepared
from edgechat.engine.kv_cache.disk_cache import limit_bytes
from edgechat.engine.protocol.events import Done, Slowed, Started
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
"""Longest wait for the engine to write a state: an SD card takes some seconds for it."""
_KNOWN_S = 2.0
"""And for a prefix that the engine has in memory."""
_TAIL_TOKENS = 40
"""A prompt is longer than its prefix by the question and the template's end."""
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
            read = self._read(section)
            model = read.model
            used += read.bytes
            yield read

    def _read(self, section: StoredSection) -> ReadAhead:
        began = time.monotonic()
        model, tokens, file = read_ahead(self, section)
        size = 0
        if file is not None:
            prepared.remember(self.library, section.id, model=model, layout=LAYOUT, file=file, tokens=tokens)
            size = file.stat().st_size
        return ReadAhead(section, model, tokens, time.monotonic() - began, size)


def read_ahead(preparation: Preparation, section: StoredSection) -> tuple[str, int, Path | None]:
    """Let the engine read a section's prefix and keep it; the one place that depends on how the engine does that.

    It asks for one token behind the prefix, which the engine keeps as it keeps all instructions.

    Returns:
        The model (``NAME:QUANT``), the prompt's tokens, and the file of the state; None where the engine wrote none.
    """
    directory = prepared.state_directory(preparation.paths)
    before = _stamps(directory)
    request = Request(
        messages=(Message("system", prefix(section)), Message("user", ".")),
        wish=preparation.wish,
        max_tokens=1,
        is_batch=True,
        sampling={"temperature": 0.0},
    )
    model, tokens, n_read = "", 0, 0
    for event in preparation.client.generate(request):
        if isinstance(event, Started):
            model, tokens = f"{event.model}:{event.quant}", event.prompt_tokens
            n_read = tokens - event.cached_tokens
        elif isinstance(event, Slowed):
            preparation.is_hot = event.level > 0
        elif isinstance(event, Done):
            break
    # What the engine still holds in memory it may have written long ago, and then writes nothing now.
    return model, tokens, _written(directory, before, _WRITTEN_S if n_read > _TAIL_TOKENS else _KNOWN_S)


def obstacle() -> str:
    """Why nothing should be read ahead now, or ``""``."""
    if any(each.status == "Discharging" for each in read_vitals(ask_programs=False).power.batteries):
        return "The board runs on its battery."
    return ""


def _written(directory: Path, before: dict[Path, int], most_s: float) -> Path | None:
    """The state that was written or used since ``before``; waits for the engine, which writes when it is idle."""
    until = time.monotonic() + most_s
    while True:
        changed = {
            file: at
            for file, at in _stamps(directory).items()
            if at > before.get(file, 0) and file.with_suffix(".sha256").exists()
        }
        if changed:
            return max(changed, key=lambda file: changed[file])
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK_S)


def _stamps(directory: Path) -> dict[Path, int]:
    found = {}
    for file in directory.glob("*.kv"):
        try:
            found[file] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # the engine has just deleted it
    return found
