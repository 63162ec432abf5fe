"""The calibration: speeds and peak memory that ``edgechat bench`` measured, by board, model file and settings.

Kept in one file. Standard library only, since every engine start reads it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, state_error, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgechat.board.board import Board
    from edgechat.models.planning.plan import LoadSettings
    from edgechat.paths import Paths

FILE = "calibration.json"
FORMAT = 1
_PROMPT, _ANSWER = 300, 150
"""Tokens of the exchange that settings are judged by."""
_AS_GOOD = 1.03
"""Settings within 3 % of the fastest count as equally fast, since runs differ by as much; the smallest is chosen."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measurement of one model file with one set of settings; speeds in tokens a second, sizes in bytes."""

    load_mode: str
    repack: bool
    n_ubatch: int
    n_threads: int
    n_gpu_layers: int
    kv_type: str
    n_ctx: int
    prefill_tps: float
    decode_tps: float
    load_s: float
    peak_rss_bytes: int
    measured_at: str
    """UTC, ISO 8601; ``""`` while the clock was unset."""
    cpu_share: float = 1.0
    """Processor time that the threads got, as a share of what they asked for. llama.cpp's threads never sleep between
    steps, so other programs used the rest."""
    tokens_per_joule: float | None = None
    """Of decoding; None where no power is measured."""
    joules_of: str = ""
    """Where the energy was measured: the board's input, the battery, the processor alone; ``""`` where it was not."""

    @property
    def exchange_s(self) -> float:
        """Seconds for a prompt of 300 tokens and an answer of 150."""
        return _PROMPT / self.prefill_tps + _ANSWER / self.decode_tps

    def is_like(self, settings: LoadSettings) -> bool:
        """Whether this measurement holds for these settings; those that do not change the speed (n_ctx) may differ."""
        return (
            self.load_mode == settings.load_mode
            and self.repack == settings.repack
            and self.n_gpu_layers == settings.n_gpu_layers
            and self.kv_type == settings.kv_type
        )


def board_key(board: Board) -> str:
    """The key of a board: machines with equal processor, cores, memory size and devices share measurements."""
    cpu = board.cpu
    gpus = [(device.kind, device.name, device.total) for device in board.accelerators]
    facts = [board.model, cpu.arch, cpu.model, cpu.n_cores, cpu.n_big_cores, cpu.features, board.memory.total, gpus]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def file_key(name: str, quant: str, file_bytes: int) -> str:
    """The key of a model file: name, quantization and size. The file is not hashed."""
    return f"{name}:{quant.upper()}:{file_bytes}"


def best(measurements: Iterable[Measurement]) -> Measurement | None:
    """The measurement with the least memory among the fastest; None when there are none."""
    known = list(measurements)
    if not known:
        return None
    limit = min(item.exchange_s for item in known) * _AS_GOOD
    return min((item for item in known if item.exchange_s <= limit), key=lambda item: item.peak_rss_bytes)


def read_calibration(paths: Paths, board: Board) -> dict[str, tuple[Measurement, ...]]:
    """The measurements on this board, by ``file_key``; empty without any, or when the file has another format.

    Raises:
        StateError: the file cannot be read.
    """
    value = _read(_path(paths))
    if value.get("format") != FORMAT:
        return {}
    models: dict[str, list[dict[str, Any]]] = value.get("boards", {}).get(board_key(board), {})
    known = {field.name for field in fields(Measurement)}
    try:
        return {
            key: tuple(Measurement(**{name: value for name, value in item.items() if name in known}) for item in items)
            for key, items in models.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(_path(paths)) from error


def keep(paths: Paths, board: Board, key: str, measurements: Iterable[Measurement]) -> None:
    """Replace the measurements of one model file on this board.

    Raises:
        StateError: the file cannot be read or written.
    """
    path = _path(paths)
    value = _read(path)
    if value.get("format") != FORMAT:
        value = {"format": FORMAT, "boards": {}}
    value["boards"].setdefault(board_key(board), {})[key] = [asdict(item) for item in measurements]
    with reporting("write", path):
        make_directory(path.parent)
        write_json(path, value)


def _path(paths: Paths) -> Path:
    # State, not cache: it can be made again, but only by keeping the board busy for minutes.
    return paths.state / FILE


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise state_error("read", path, error) from error
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return value


def _damaged(path: Path) -> StateError:
    return StateError(f"{path} is damaged.", hint=f"Remove {path}, then measure again: edgechat bench")
