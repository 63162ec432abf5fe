"""One measured load in a process of its own: ``python -m edgechat.engine.native.trial``, its request on standard input.

Loads a file exactly as its settings say, reads a prompt, writes a few tokens, and prints speeds and peak memory as one
JSON object. It judges nothing and keeps nothing; ``engine/selection/benchmark.py`` starts it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.engine.throttle.memory_pressure import volunteer
from edgechat.errors import EngineError
from edgechat.models.planning.plan import LoadSettings

if TYPE_CHECKING:
    from edgechat.engine.native.context import Context

_PROMPT_TOKENS, _ANSWER_TOKENS = 256, 48
_LEAST_ANSWER = 4
_ENOUGH_S = 4.0
"""A slow board stops each half after this long; the first step of each is never counted."""


def measure(path: Path, settings: LoadSettings) -> dict[str, Any]:
    """Load, read, write; speeds in tokens a second, sizes in bytes.

    Raises:
        EngineError: the file or the context could not be loaded.
    """
    from edgechat.engine.native.context import Context  # noqa: PLC0415 - loads llama.cpp, which may end the process
    from edgechat.engine.native.model import Model  # noqa: PLC0415

    began = time.monotonic()
    model = Model(path, settings)
    context = Context(model, settings)
    load_s = time.monotonic() - began
    # Any ids do, as no kernel depends on which tokens they are; the stride keeps them from being all alike.
    prompt = [(17 + 7919 * index) % model.n_vocab for index in range(_PROMPT_TOKENS)]
    step = min(settings.n_ubatch, settings.n_batch)
    _read(context, prompt[:step], 0)
    context.drop(0)
    started, worked = time.monotonic(), time.process_time()
    prefill_tps, filled = _prefill(context, prompt, step)
    decode_tps, began, ended = _decode(context, prompt, filled)
    asked = (time.monotonic() - started) * settings.n_threads
    return {
        "prefill_tps": round(prefill_tps, 2),
        "decode_tps": round(decode_tps, 2),
        "load_s": round(load_s, 3),
        "peak_rss_bytes": _peak(),
        "cpu_share": round(min(1.0, (time.process_time() - worked) / asked), 2),
        # The monotonic clock is the whole machine's: whoever started this one measures the energy between the two.
        "decode_began": began,
        "decode_ended": ended,
    }


def _prefill(context: Context, prompt: list[int], step: int) -> tuple[float, int]:
    began = time.monotonic()
    filled = 0
    while filled < len(prompt) and (not filled or time.monotonic() - began < _ENOUGH_S):
        piece = prompt[filled : filled + step]
        _read(context, piece, filled)
        filled += len(piece)
    return filled / (time.monotonic() - began), filled


def _decode(context: Context, prompt: list[int], filled: int) -> tuple[float, float, float]:
    """Tokens a second, and when it began and ended on the monotonic clock."""
    _read(context, prompt[:1], filled)
    began = time.monotonic()
    written = 0
    while written < _LEAST_ANSWER or (written < _ANSWER_TOKENS and time.monotonic() - began < _ENOUGH_S):
        _read(context, [prompt[written % len(prompt)]], filled + 1 + written)
        written += 1
    ended = time.monotonic()
    return written / (ended - began), began, ended


def _read(context: Context, tokens: list[int], position: int) -> None:
    context.clear()
    context.add(tokens, position, 0, want_logits=True)
    context.decode()


def _peak() -> int:
    """Peak resident bytes: VmHWM, as ``ru_maxrss`` on Linux includes what the parent held before exec."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, which has no /proc


def main() -> int:
    """Carry out the request on standard input; exit 1 with one line on standard error when it cannot be loaded."""
    volunteer()
    request = json.load(sys.stdin)
    try:
        found = measure(Path(request["path"]), LoadSettings(**request["settings"]))
    except EngineError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
