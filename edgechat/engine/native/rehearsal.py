"""llama.cpp's own dry run: ``python -m edgechat.engine.native.rehearsal``, a JSON request on standard input.

Makes the model and the context without allocating them (``no_alloc``), which takes the time of reading a vocabulary,
and prints the sizes llama.cpp logs. It judges nothing; ``engine/selection/dry_run.py`` starts it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from edgechat.models.planning.plan import LoadSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUFFER = re.compile(r"(?P<kind>RS|output|compute) buffer size =\s*(?P<mib>[\d.]+) MiB")
# The KV buffer itself logs 0.00 in a dry run; the cache's own line has the size. Recurrent states have both.
_CACHE = re.compile(r"llama_kv_cache: size =\s*(?P<mib>[\d.]+) MiB")
_KV_TYPES = {"f16": 1, "q8_0": 8}  # enum ggml_type
_LOAD_MODE_NONE = 0  # mapping a file and not allocating it asserts
_FLASH_ATTN_AUTO, _FLASH_ATTN_OFF = -1, 0


def sizes(log: Iterable[str]) -> dict[str, int]:
    """Bytes by kind (``kv``, ``RS``, ``output``, ``compute``) in llama.cpp's log (it prints MiB, two decimals)."""
    text = "".join(log)
    found = dict.fromkeys(("kv", "RS", "output", "compute"), 0)
    for match in _BUFFER.finditer(text):
        found[match["kind"]] += _bytes(match["mib"])
    for match in _CACHE.finditer(text):
        found["kv"] += _bytes(match["mib"])
    return found


def rehearse(llama: Any, path: str, settings: LoadSettings) -> dict[str, int]:
    """The sizes for one file and settings, all on the CPU.

    Raises:
        ValueError: llama.cpp refuses the file or the context; the message is the last line of its log.
    """
    log: list[str] = []
    # Kept in a local: a callback that is collected while llama.cpp holds it kills the process.
    callback = llama.llama_log_callback(lambda _level, text, _data: log.append(text.decode("utf-8", "replace")))
    llama.llama_log_set(callback, None)
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    params.no_alloc, params.load_mode = True, _LOAD_MODE_NONE
    params.n_gpu_layers, params.use_extra_bufts = 0, settings.repack
    model = llama.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ValueError(_last(log))
    how = llama.llama_context_default_params()
    how.n_ctx, how.n_batch, how.n_ubatch = settings.n_ctx, settings.n_batch, settings.n_ubatch
    how.n_seq_max = settings.n_seq_max
    how.n_outputs_max = max(settings.n_outputs_max, settings.n_seq_max)
    how.type_k = how.type_v = _KV_TYPES[settings.kv_type]
    how.flash_attn_type = _FLASH_ATTN_AUTO if settings.flash_attn else _FLASH_ATTN_OFF
    how.swa_full, how.kv_unified = False, True
    if not llama.llama_init_from_model(model, how):
        raise ValueError(_last(log))
    return sizes(log)


def _bytes(mib: str) -> int:
    return round(float(mib) * (1 << 20))


def _last(log: list[str]) -> str:
    lines = [line for line in "".join(log).splitlines() if line.strip()]
    return lines[-1] if lines else "llama.cpp gave no reason"


def main() -> int:
    """Carry out the request; exit 1 with the reason on standard error."""
    from edgechat.engine.native.lib import llama  # noqa: PLC0415 - loads llama.cpp, which may end the process

    request = json.load(sys.stdin)
    try:
        found = rehearse(llama, request["path"], LoadSettings(**request["settings"]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    # The process ends here; llama.cpp's destructors have nothing to free that was allocated.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
