"""Settings and their origin: defaults, then ``config.toml``, then ``EDGECHAT_*``, then flags.

Standard library only, because every ``edgechat ask`` reads it. Unknown keys and values of the wrong type are refused;
the error names the nearest known key.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from edgechat.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "config.toml"
LEAST_N_CTX = 256
"""Smallest context in tokens; llama.cpp creates contexts in steps of this size."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. None means that edgechat decides."""

    model: str | None = None
    """Model to answer with, instead of the one set by ``models use``."""
    n_ctx: int | None = None
    """Context size in tokens."""
    threads: int | None = None
    """Threads for decode and prefill."""
    keep_alive: str = "30m"
    """How long an idle engine stays: ``30m``, ``2h``, ``90s``, ``0`` (with its client) or ``-1`` (for ever)."""
    max_tokens: int | None = None
    """Longest answer of ``ask``."""
    temperature: float | None = None
    """Sampling temperature, over the model's own default."""
    system: str | None = None
    """System message of ``ask``."""
    overflow: str | None = None
    """What to do with a conversation that does not fit the context: ``trim``, ``summarize`` or ``refuse``."""
    read_ahead: int = 2048
    """Most tokens of a question that an idle engine reads while it is typed; 0 reads nothing before Enter."""
    log_answers: str = "off"
    """Whether answers are logged in ``logs/answers.log``: ``off``, ``redacted`` (sizes and times) or ``full``."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each value that is not a default came from."""

    def override(self, origin: str, **values: Any) -> Config:  # noqa: ANN401 - checked by _typed
        """A copy with the given values, where they are not None."""
        given = {name: value for name, value in values.items() if value is not None}
        return replace(self, **given, origins={**self.origins, **dict.fromkeys(given, origin)})


_NAMES = tuple(f.name for f in fields(Config) if f.name != "origins")
_INTEGERS = frozenset(("n_ctx", "threads", "max_tokens", "read_ahead"))
_LEAST = {"n_ctx": LEAST_N_CTX, "read_ahead": 0}
"""Smallest values of the whole numbers; 1 for the others."""
_SWITCHES = {"off": 0, "on": Config.__dataclass_fields__["read_ahead"].default}
"""Words that ``read_ahead`` may be, and the numbers that they stand for."""
_FLOATS = frozenset(("temperature",))
_LOGS = ("off", "redacted", "full")
_OVERFLOWS = ("refuse", "trim", "summarize")
# Not settings: these move directories or configure the set-up scripts.
_OTHER_VARIABLES = frozenset(("HOME", "MODELS", "STATE", "SHARED", "VISION", "CUDA", "BENCH_DIR"))


def load(directory: Path, env: Mapping[str, str] | None = None) -> Config:
    """Read ``config.toml`` in ``directory`` and the environment.

    Raises:
        UsageError: an unknown key or a value of the wrong type; the message names file or variable.
        StateError: the file exists and cannot be read.
    """
    env = os.environ if env is None else env
    config = Config()
    file = directory / FILE
    for name, value in _read(file).items():
        _known(name, str(file))
        if isinstance(value, str) and name in _INTEGERS | _FLOATS and not _is_switch(name, value):
            # Text is converted for the environment only.
            raise UsageError(f"{file}: {name} is {value!r}; write the number without quotation marks.")
        config = config.override(str(file), **{name: _typed(name, value, str(file))})
    for variable, text in env.items():
        if not variable.startswith("EDGECHAT_") or (suffix := variable[len("EDGECHAT_") :]) in _OTHER_VARIABLES:
            continue
        if text == "":
            continue
        name = _known(suffix.lower(), variable)
        config = config.override(variable, **{name: _typed(name, text, variable)})
    return config


def seconds(duration: str) -> float:
    """Seconds in ``90s``, ``30m``, ``2h``, ``1d`` or a plain number; -1 means for ever.

    Raises:
        UsageError: it is not a duration.
    """
    if (found := _seconds(duration)) is None:
        raise UsageError(f"{duration!r} is not a duration.", hint="Write 90s, 30m, 2h, 0 or -1.")
    return found


def _seconds(duration: str) -> float | None:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    text = duration.strip().lower()
    unit = units.get(text[-1:], 0)
    try:
        number = float(text[:-1] if unit else text)
    except ValueError:
        return None
    if number == -1 and not unit:
        return -1.0
    return number * (unit or 1) if 0 <= number < 1e9 else None


def _read(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - 10 ms, and most machines have no such file
    else:
        import tomli as tomllib  # noqa: PLC0415
    try:
        # Windows editors put a byte-order mark first.
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise UsageError(f"{file} is not valid TOML: {error}.") from error
    except OSError as error:
        raise StateError(f"Cannot read {file}: {error.strerror}.") from error


def _known(name: str, origin: str) -> str:
    if name in _NAMES:
        return name
    import difflib  # noqa: PLC0415 - only on the way to an error

    near = difflib.get_close_matches(name, _NAMES, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Known settings: {', '.join(_NAMES)}."
    raise UsageError(f"{origin}: there is no setting {name}.", hint=hint)


def _typed(name: str, value: object, origin: str) -> str | int | float:
    if name == "keep_alive" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # `keep_alive = -1` in the file is an integer
    if _is_switch(name, value):
        value = _SWITCHES[str(value)]
    if name in _INTEGERS:
        number = _number(value, int)
        least = _LEAST.get(name, 1)
        if number is not None and number >= least:
            return number
        wanted = f"a whole number, {least} or more" + (", or on or off" if name == "read_ahead" else "")
    elif name in _FLOATS:
        number = _number(value, float)
        if number is not None and number >= 0:
            return number
        wanted = "a number, 0 or more"
    elif not isinstance(value, str):
        wanted = "text"
    elif name == "overflow" and value not in _OVERFLOWS:
        wanted = "refuse, trim or summarize"
    elif name == "log_answers" and value not in _LOGS:
        wanted = "off, redacted or full"
    elif name == "keep_alive" and _seconds(value) is None:
        wanted = "a duration: 90s, 30m, 2h, 0 or -1"
    else:
        return value
    raise UsageError(f"{origin}: {name} is {value!r}; it must be {wanted}.")


def _is_switch(name: str, value: object) -> bool:
    return name == "read_ahead" and value in _SWITCHES


def _number(value: object, kind: type[int | float]) -> int | float | None:
    """``value`` (a number, or text from the environment) as a finite number, or None."""
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or (not isinstance(value, str) and number != value):
        return None
    return number
