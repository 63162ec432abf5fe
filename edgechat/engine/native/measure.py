"""Measures one way to load a model: ``python -m edgechat.engine.native.measure``, a JSON request on standard input.

Loads the file with the given settings, reads a prompt, generates a few tokens, and prints speeds and peak memory as one
JSON object. ``engine/selection/benchmark.py`` starts it as a child process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.process_memory import peak_rss, raise_oom_score
from edgechat.errors import EngineError
from edgechat.models.planning.plan import LoadSettings

if TYPE_CHECKING:
    from edgechat.engine.native.context import Context

_PROMPT_TOKENS, _ANSWER_TOKENS = 256, 48
_LEAST_ANSWER = 4
_BUSY = (1, 2, 3, 6, 7)
"""Columns of the first line of /proc/stat: user, nice, system, irq, softirq."""
_ENOUGH_S = 4.0
"""A slow board ends prefill and decode after this long each; the first step of each is not counted."""


def measure(
    path: Path, settings: LoadSettings, *, prompt_tokens: int = _PROMPT_TOKENS, enough_s: float = _ENOUGH_S
) -> dict[str, Any]:
    """Load, prefill, decode; speeds in tokens a second, sizes in bytes.

    Args:
        path: the file.
        settings: how to load it.
        prompt_tokens: tokens of the prompt.
        enough_s: prefill and decode end after this long each.

    Raises:
        EngineError: the file or the context could not be loaded.
    """
    from edgechat.engine.native.context import Context  # noqa: PLC0415 - loads llama.cpp, which may end the process
    from edgechat.engine.native.model import Model  # noqa: PLC0415

    began = time.monotonic()
    model = Model(path, settings)
    context = Context(model, settings)
    load_s = time.monotonic() - began
    # Any token ids will do, since no kernel depends on them; the stride makes them differ.
    prompt = [(17 + 7919 * index) % model.n_vocab for index in range(prompt_tokens)]
    step = min(settings.n_ubatch, settings.n_batch)
    _decode_batch(context, prompt[:step], 0)
    context.drop(0)
    started, worked, busy = time.monotonic(), time.process_time(), _busy_s()
    prefill_tps, filled = _prefill(context, prompt, step, enough_s)
    decode_tps, began, ended = _decode(context, prompt, filled, enough_s)
    asked = (time.monotonic() - started) * settings.n_threads
    worked = time.process_time() - worked
    others = max(0.0, _busy_s() - busy - worked) if busy else asked
    return {
        "prefill_tps": round(prefill_tps, 2),
        "decode_tps": round(decode_tps, 2),
        "load_s": round(load_s, 3),
        "peak_rss_bytes": peak_rss(),
        "cpu_share": round(undisturbed(asked, worked, others), 2),
        # The monotonic clock is shared by all processes: the parent measures the energy between these two times.
        "decode_began": began,
        "decode_ended": ended,
    }


def undisturbed(asked: float, worked: float, others: float) -> float:
    """The share of the processor that other programs left; arguments in processor seconds.

    Where they took less than is missing, a hypervisor or a quota that the probe cannot see kept it back: then the board
    is as slow as it was measured.

    Args:
        asked: what all threads together could have had.
        worked: what they had.
        others: what other programs had meanwhile.
    """
    return 1 - min(max(0.0, asked - worked), others) / asked


def _busy_s() -> float:
    """Processor seconds of all programs since boot; 0 where nothing tells them.

    Time that a hypervisor gave to other machines is not among them: a board that never has it is that slow.
    """
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
        return sum(int(first[column]) for column in _BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _prefill(context: Context, prompt: list[int], step: int, enough_s: float) -> tuple[float, int]:
    """Tokens a second, and how many were read."""
    began = time.monotonic()
    filled = 0
    while filled < len(prompt) and (not filled or time.monotonic() - began < enough_s):
        piece = prompt[filled : filled + step]
        _decode_batch(context, piece, filled)
        filled += len(piece)
    return filled / (time.monotonic() - began), filled


def _decode(context: Context, prompt: list[int], filled: int, enough_s: float) -> tuple[float, float, float]:
    """Tokens a second, and when it began and ended on the monotonic clock."""
    _decode_batch(context, prompt[:1], filled)
    began = time.monotonic()
    written = 0
    while written < _LEAST_ANSWER or (written < _ANSWER_TOKENS and time.monotonic() - began < enough_s):
        _decode_batch(context, [prompt[written % len(prompt)]], filled + 1 + written)
        written += 1
    ended = time.monotonic()
    return written / (ended - began), began, ended


def _decode_batch(context: Context, tokens: list[int], position: int) -> None:
    context.clear()
    context.add(tokens, position, 0, want_logits=True)
    context.decode()


def main() -> int:
    """Carry out the request on standard input; exit 1 with one line on standard error when it cannot be loaded."""
    raise_oom_score()
    request = json.load(sys.stdin)
    try:
        found = measure(Path(request["path"]), LoadSettings(**request["settings"]), **request.get("size", {}))
    except EngineError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
