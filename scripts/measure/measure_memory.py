#!/usr/bin/env python3
"""Load one model file exactly as a ``LoadSettings`` says, work it, and print what memory that took: one JSON line.

The child that memory predictions are judged by. It drives llama.cpp's low-level API and nothing of the engine, so its
figures hold whatever the engine looks like. It knows nothing of plans, predictions or tables.

    python scripts/measure/measure_memory.py MODEL.gguf --n-ctx 4096 --kv-type q8_0 --load-mode mmap --repack

``measure()`` runs the same thing in a child process and returns the object: llama.cpp may abort, the caller survives.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.environment import native_environment
from edgechat.models.planning.plan import LoadSettings

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence

_KV_TYPES = {"f16": 1, "q8_0": 8}
"""ggml_type numbers (ggml.h)."""
_LOAD_MODES = {"read": 0, "mmap": 1}
"""llama_load_mode numbers (llama.h): NONE and MMAP."""
_FLASH_ATTN_AUTO, _FLASH_ATTN_OFF = -1, 0
"""llama_flash_attn_type numbers (llama.h)."""
_BUFFER_LINE = re.compile(r"(?P<name>\S+)\s+(?P<kind>model|KV|RS|output|compute) buffer size =\s*(?P<mib>[\d.]+) MiB")
_SAMPLE_SECONDS = 0.01


class LoadFailedError(RuntimeError):
    """llama.cpp refused the file or the settings; the message holds its own last words."""


def process_memory() -> dict[str, int]:
    """This process's memory in bytes, from ``/proc/self/status`` (proc(5)): peak, resident, anonymous, file, shared."""
    wanted = {"VmHWM": "hwm", "VmRSS": "rss", "RssAnon": "anon", "RssFile": "file", "RssShmem": "shmem"}
    found: dict[str, int] = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        key, _, rest = line.partition(":")
        if key in wanted:
            found[wanted[key]] = int(rest.split()[0]) * 1024
    return found


def mapped_bytes(path: Path) -> int:
    """Resident bytes of ``path``'s mappings in this process: clean page cache, which the kernel can take back."""
    total, inside = 0, False
    name = str(path.resolve())
    with Path("/proc/self/smaps").open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                inside = line.rstrip().endswith(name)
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


class AnonymousPeak(threading.Thread):
    """Samples RssAnon, since the kernel keeps a peak only for all resident pages together."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until :meth:`stop`."""
        while not self._over.is_set():
            self.sample()
            self._over.wait(_SAMPLE_SECONDS)

    def sample(self) -> None:
        """Take one reading now."""
        self.peak = max(self.peak, process_memory()["anon"])

    def stop(self) -> int:
        """End the thread and return the highest reading in bytes."""
        self._over.set()
        self.join()
        self.sample()
        return self.peak


def _low_level_llama() -> ModuleType:
    # The package's __init__ imports numpy and jinja2 through the chat formats: 0.5 s, and 30 MB that the figures
    # should not hold. A bare package object in its place keeps that from running.
    if "llama_cpp" in sys.modules:
        return importlib.import_module("llama_cpp.llama_cpp")
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("llama-cpp-python is not installed in this environment.")
    package = ModuleType("llama_cpp")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["llama_cpp"] = package
    return importlib.import_module("llama_cpp.llama_cpp")


class _Run:
    """One load, one prefill, some decode steps, with the memory after each."""

    def __init__(self, llama: ModuleType, model: Path, settings: LoadSettings) -> None:
        self.llama, self.model_path, self.settings = llama, model, settings
        self.log: list[str] = []
        self.stages: dict[str, dict[str, int]] = {}
        # Kept on the object: a callback that is garbage-collected while llama.cpp holds it kills the process.
        self._callback = llama.llama_log_callback(
            lambda _level, text, _data: self.log.append(text.decode(errors="replace"))
        )

    def stage(self, name: str) -> None:
        self.stages[name] = process_memory() | {"mapped_model": mapped_bytes(self.model_path)}

    def model_params(self) -> ctypes.Structure:
        params: ctypes.Structure = self.llama.llama_model_default_params()
        params.n_gpu_layers = self.settings.n_gpu_layers
        params.load_mode = _LOAD_MODES[self.settings.load_mode]
        params.use_extra_bufts = self.settings.repack
        return params

    def context_params(self) -> ctypes.Structure:
        settings = self.settings
        params: ctypes.Structure = self.llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = settings.n_ctx, settings.n_batch, settings.n_ubatch
        params.n_seq_max = settings.n_seq_max
        # As the engine does: fewer output rows than sequences would abort the first full decode.
        params.n_outputs_max = max(settings.n_outputs_max, settings.n_seq_max)
        params.n_threads, params.n_threads_batch = settings.n_threads, settings.n_threads_batch
        params.type_k = params.type_v = _KV_TYPES[settings.kv_type]
        params.flash_attn_type = _FLASH_ATTN_AUTO if settings.flash_attn else _FLASH_ATTN_OFF
        params.kv_unified, params.swa_full = True, False
        return params

    def fail(self, what: str) -> LoadFailedError:
        return LoadFailedError(what + "\n" + "".join(self.log[-12:]))

    def decode(self, context: ctypes.c_void_p, tokens: list[int]) -> None:
        array = (self.llama.llama_token * len(tokens))(*tokens)
        code = self.llama.llama_decode(context, self.llama.llama_batch_get_one(array, len(tokens)))
        if code:
            raise self.fail(f"llama_decode returned {code}.")

    def decode_rows(self, context: ctypes.c_void_p, tokens: list[int], position: int) -> None:
        """Decode with a row of logits for every token, as answers side by side and checked drafts ask for them."""
        batch = self.llama.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, position + index
            batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = 1, 0, True
        code = self.llama.llama_decode(context, batch)
        self.llama.llama_batch_free(batch)
        if code:
            raise self.fail(f"llama_decode returned {code}.")

    def measure(self, fill: int, steps: int, rows: int) -> dict[str, Any]:
        llama, settings = self.llama, self.settings
        llama.llama_log_set(self._callback, None)
        self.stage("start")
        sampler = AnonymousPeak()
        sampler.start()
        llama.llama_backend_init()
        began = time.monotonic()
        model = llama.llama_model_load_from_file(os.fsencode(self.model_path), self.model_params())
        if not model:
            raise self.fail(f"{self.model_path} could not be loaded.")
        self.stage("model")
        context = llama.llama_init_from_model(model, self.context_params())
        if not context:
            raise self.fail("The context could not be made.")
        load_s = time.monotonic() - began
        self.stage("context")
        n_ctx, n_vocab = llama.llama_n_ctx(context), llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        rows = min(rows, max(settings.n_outputs_max, settings.n_seq_max))
        fill = min(fill, n_ctx - steps - rows)
        # Any ids do: no buffer depends on which tokens they are. A stride keeps them from being all alike.
        tokens = [(17 + 7919 * i) % n_vocab for i in range(fill)]
        began = time.monotonic()
        for start in range(0, fill, settings.n_batch):
            self.decode(context, tokens[start : start + settings.n_batch])
        prefill_s = time.monotonic() - began
        self.stage("prefill")
        began = time.monotonic()
        for step in range(steps):
            self.decode(context, [(23 + step) % n_vocab])
        decode_s = time.monotonic() - began
        if rows:
            self.decode_rows(context, [(29 + row) % n_vocab for row in range(rows)], fill + steps)
        peak_anon = sampler.stop()
        self.stage("decode")
        row = llama.llama_get_logits_ith(context, -1)
        logits = [row[i] for i in range(n_vocab)]
        llama.llama_free(context)
        llama.llama_model_free(model)
        last = self.stages["decode"]
        return {
            "model": str(self.model_path),
            "file_bytes": self.model_path.stat().st_size,
            "settings": asdict(settings),
            "n_ctx": n_ctx,
            "n_vocab": n_vocab,
            "filled_tokens": fill,
            "rows": rows,
            "peak_rss_bytes": last["hwm"],
            "peak_anon_bytes": peak_anon,
            "mapped_model_bytes": last["mapped_model"],
            "unreclaimable_bytes": last["hwm"] - last["mapped_model"],
            "start_rss_bytes": self.stages["start"]["rss"],
            "stages": self.stages,
            "buffers": buffer_sizes(self.log),
            "load_s": round(load_s, 3),
            "prefill_tps": round(fill / prefill_s, 2) if fill else None,
            "decode_tps": round(steps / decode_s, 2) if steps else None,
            "logits": {"min": min(logits), "max": max(logits), "finite": all(abs(x) < float("inf") for x in logits)},
        }


def buffer_sizes(log: list[str]) -> list[dict[str, Any]]:
    """What llama.cpp said it allocated, in bytes (it prints MiB with two decimals), in the order it said so."""
    return [
        {"buffer": m["name"], "kind": m["kind"], "bytes": round(float(m["mib"]) * 1024 * 1024)}
        for m in _BUFFER_LINE.finditer("".join(log))
    ]


def arguments(settings: LoadSettings) -> list[str]:
    """The command-line flags that stand for ``settings``."""
    flags: list[str] = []
    for name, value in asdict(settings).items():
        flag = name.replace("_", "-")
        flags += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return flags


def measure(
    model: Path,
    settings: LoadSettings,
    *,
    fill: int | None = None,
    steps: int = 16,
    rows: int = 0,
    imports: Sequence[str] = (),
    timeout: float = 1800,
) -> dict[str, Any]:
    """Measure in a child process.

    Args:
        model: a GGUF file.
        settings: carried out to the letter.
        fill: prompt tokens to prefill; None means one ubatch. Clipped to what the context holds.
        steps: tokens decoded one by one after it.
        rows: rows of logits that a last step asks for together, at most as many as the settings allow.
        imports: modules the child imports first, so that its base is that of a process that has them.
        timeout: seconds the child may take.

    Raises:
        LoadFailedError: the child refused the file, died or was killed; the message says which.
    """
    command = [sys.executable, __file__, str(model), *arguments(settings), "--steps", str(steps), "--rows", str(rows)]
    command += [] if fill is None else ["--fill", str(fill)]
    command += [part for module in imports for part in ("--import", module)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=native_environment()
    )
    if done.returncode:
        raise LoadFailedError(f"exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="GGUF file")
    choices = {"kv_type": tuple(_KV_TYPES), "load_mode": tuple(_LOAD_MODES)}
    defaults = LoadSettings(n_ctx=4096, n_threads=2, n_threads_batch=2)
    for field in fields(LoadSettings):
        value, flag = getattr(defaults, field.name), "--" + field.name.replace("_", "-")
        if isinstance(value, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=value)
        else:
            parser.add_argument(flag, type=type(value), default=value, choices=choices.get(field.name))
    parser.add_argument(
        "--fill", default="ubatch", help="prompt tokens: a number, `ubatch` (default) or `ctx`, the whole context"
    )
    parser.add_argument("--steps", type=int, default=16, help="tokens decoded after the prompt (16)")
    parser.add_argument("--rows", type=int, default=0, help="rows of logits that a last step asks for together (0)")
    parser.add_argument(
        "--import", action="append", default=[], dest="imports", metavar="MODULE", help="import this first; repeatable"
    )
    return parser


def main() -> int:
    args = _parser().parse_args()
    settings = LoadSettings(**{field.name: getattr(args, field.name) for field in fields(LoadSettings)})
    fill = {"ubatch": settings.n_ubatch, "ctx": settings.n_ctx}.get(args.fill)
    for module in args.imports:
        importlib.import_module(module)
    try:
        fill = int(args.fill) if fill is None else fill
        result = _Run(_low_level_llama(), args.model, settings).measure(fill, args.steps, args.rows)
    except LoadFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
