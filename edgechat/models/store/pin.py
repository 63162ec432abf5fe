"""The pin: the model that ``edgechat models use`` fixed for scripts, in ``pin.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, state_error, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class Pin:
    """The model that ``models use`` fixed: scripts get exactly this one or exit 3."""

    model: str
    quant: str
    n_ctx: int | None = None


def read_pin(paths: Paths) -> Pin | None:
    """The model that ``models use`` fixed, or None.

    Raises:
        StateError: the file cannot be read as a pin.
    """
    path = _pin_path(paths)
    try:
        value = json.loads(path.read_bytes())
        n_ctx = value["n_ctx"]
        return Pin(str(value["model"]), str(value["quant"]), None if n_ctx is None else int(n_ctx))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise state_error("read", path, error) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(f"{path} is damaged.", hint="Choose again: edgechat models use MODEL") from error


def write_pin(paths: Paths, pin: Pin | None) -> None:
    """Fix the model for scripts; None removes the pin, so that the plan chooses."""
    path = _pin_path(paths)
    with reporting("write", path):
        if pin is None:
            path.unlink(missing_ok=True)
            return
        make_directory(path.parent)
        write_json(path, {"model": pin.model, "quant": pin.quant, "n_ctx": pin.n_ctx})


def _pin_path(paths: Paths) -> Path:
    return paths.config / "pin.json"
