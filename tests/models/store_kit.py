"""What the tests of the store and of pulling share: model files of a given size, and listeners."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.models.download.transfer import RetryPolicy
from tests.models.gguf_writer import Tensor, metadata_of, write_gguf

if TYPE_CHECKING:
    from edgechat.paths import Paths

REPO = "someone/Tiny-Instruct-GGUF"
FILE = "Tiny-Instruct-Q4_K_M.gguf"


def random_gguf(path: Path, size: int, seed: int = 0, name: str = "Tiny") -> Path:
    """A valid GGUF of roughly ``size`` bytes whose tensor data is random."""
    metadata = {**metadata_of(), "general.name": name}
    write_gguf(path, metadata, [Tensor("token_embd.weight", (64, max(8, size // 256)))])
    with path.open("r+b") as file:
        file.seek(4096)
        remaining = path.stat().st_size - 4096
        source = random.Random(seed)
        while remaining > 0:
            block = source.randbytes(min(remaining, 1 << 20))
            file.write(block)
            remaining -= len(block)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def impatient(**changes: float) -> RetryPolicy:
    """Tries as often as the product does, without the waiting."""
    return RetryPolicy(sleep=lambda _: None, **changes)  # type: ignore[arg-type]


def leftovers(paths: Paths) -> list[str]:
    """Everything in the store that is neither a version nor a pointer."""
    found = []
    for folder, _, files in os.walk(paths.models):
        relative = Path(folder).relative_to(paths.models)
        if relative.parts[:1] == (".locks",) and not files:
            continue
        found += [str(relative / file) for file in files if relative.parts and relative.parts[0].startswith(".")]
        found += [str(relative / file) for file in files if file.endswith((".new", ".part", ".log"))]
    return sorted(set(found))


@dataclass
class Heard:
    """A listener that remembers."""

    notes: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    done: int = 0
    total: int | None = None

    def begin(self, label: str, total: int | None, done: int = 0) -> None:
        self.labels.append(label)
        self.total, self.done = total, done

    def advance(self, amount: int) -> None:
        self.done += amount

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None: ...
