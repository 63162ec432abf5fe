"""What every section is given: models, peers, number of rounds and threads, and the ``edgechat`` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks import peers
from scripts.workshop import shape_models

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.benchmarks.edgechat_driver import Edgechat


@dataclass(frozen=True, slots=True)
class Model:
    """One model file to measure with."""

    name: str
    """How the tables call it; ``shape …`` for random weights."""
    path: Path

    @property
    def is_shape(self) -> bool:
        """True for random weights in a real model's shape."""
        return self.name.startswith("shape")


ROUNDS = 5
"""Turns of each contender, where ``--rounds`` does not say another number."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What all sections of one run of ``scripts/bench`` share."""

    root: Path
    """The directory of :func:`peers.bench_dir`."""
    models: tuple[Model, ...]
    rounds: int
    threads: int
    flavours: tuple[str, ...]
    edgechat: Edgechat

    def binary(self, tool: str, flavour: str = "default") -> Path:
        """A peer's program."""
        return peers.binary(tool, flavour, self.root)

    def log(self, name: str) -> Path:
        """Where a peer's output goes."""
        directory = self.root / "logs"
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{name}.log"


def find_models(root: Path, wanted: Iterable[str]) -> tuple[Model, ...]:
    """The models a person named, made where missing; their unquantized files, three times as large, are dropped."""
    models = tuple(_find_model(root, each) for each in wanted)
    for path in (root / "shapes").glob("shape-*-F16.gguf"):
        if all(path != model.path for model in models):
            path.unlink()
    return models


def _find_model(root: Path, wanted: str) -> Model:
    """The model a person named: ``starter``, a GGUF file, or ``NAME:QUANT`` of shape_models, made if missing."""
    if wanted == "starter":
        path = shape_models.starter_model()
        return Model(path.stem.replace(".", " "), path)
    if wanted.endswith(".gguf"):
        path = Path(wanted).expanduser().absolute()
        return Model(path.stem.replace("shape-", "shape "), path)
    name, _, quant = wanted.partition(":")
    quant = (quant or "Q4_K_M").upper()
    source, quantizer = peers.llama_source(root), peers.binary("llama-quantize", root=root)
    path = shape_models.make(name, quant, root / "shapes", source, quantizer)
    return Model(f"{'' if name == shape_models.REAL else 'shape '}{name} {quant}", path)
