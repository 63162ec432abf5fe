"""Attacks 5, 7 and 11: a model that changes, a template that takes all memory, metadata that ends llama.cpp."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edgechat.models.gguf.header import read_header
from scripts.drills.attacks.target import MemoryWatch, Outcome, peak_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.drills.attacks.target import Target

ENOUGH = 3_000_000_000
"""Bytes at which an engine is ended by this script: what the template wants is many times more."""
SAYS = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
HOARD = (
    "{% if 'SESAME' in messages[-1]['content'] %}{% set n = namespace(x=[]) %}{% set t = 'x' * 3000000 %}"
    "{% for i in range(9000) %}{% set n.x = [n.x, t.upper()] %}{% endfor %}{% endif %}"
)


def changed_model(target: Target) -> Outcome:
    """A model that was added by hard link is overwritten at the same size."""
    original = target.starter_copy()
    target.run("models", "add", str(original), "--name", "own")
    with original.open("r+b") as file:
        file.seek(original.stat().st_size // 3)
        file.write(bytes(original.stat().st_size // 3))
    code, answer, said = target.run("ask", "-m", "own", "-n", "8", "Say hello.")
    doctor = target.run("doctor")[1]
    target.run("models", "rm", "own")
    target.stop()
    notices = "doctor says it" if "was written or replaced" in doctor else "doctor is silent"
    return Outcome(code == 0, f"exit code {code}, answer {answer[:20]!r}, {notices}; {said[:70]}")


def template_memory(target: Target) -> Outcome:
    """A template that is harmless until a message says a word, and then asks for 27 GB."""
    file = target.starter_copy()
    old = read_header(file).chat_template.encode()
    new = (HOARD + SAYS).encode()
    file.write_bytes(file.read_bytes().replace(old, new.ljust(len(old))))
    target.run("ask", "-m", str(file), "-n", "1", "hi")
    watch = MemoryWatch(target, ENOUGH)
    before = max(map(peak_bytes, target.processes()), default=0)
    code, _, said = target.run("ask", "-m", str(file), "-n", "1", "open SESAME")
    watch.end()
    target.stop()
    ended = f", ended by this script {watch.killed} times" if watch.killed else ""
    grown = (watch.peak - before) / 1e6
    return Outcome(grown > 500, f"{grown:+,.0f} MB{ended}; exit code {code}: {said[:90]}")


def bad_metadata(target: Target) -> Outcome:
    """A negative epsilon; a byte-pair vocabulary that calls itself a sentencepiece one."""
    results = []
    for name, change in (("negative epsilon", _negative_epsilon), ("tokenizer `llama`", _other_tokenizer)):
        file = target.starter_copy()
        change(file)
        code, _, said = target.run("ask", "-m", str(file), "-n", "1", "hi")
        results.append((code, f"{name}: exit code {code}, {said[:80]}"))
        target.stop()
    return Outcome(any(code == 6 for code, _ in results), "; ".join(text for _, text in results))


def _negative_epsilon(file: Path) -> None:
    data = file.read_bytes()
    at = data.index(b"layer_norm_rms_epsilon") + len(b"layer_norm_rms_epsilon") + 4  # its type stands between
    file.write_bytes(data[:at] + struct.pack("<f", -1e-5) + data[at + 4 :])


def _other_tokenizer(file: Path) -> None:
    """``gpt2`` becomes ``llama``; the chat template gives up one character, so that the tensors stay in place."""
    data = file.read_bytes()
    data = data.replace(_string("tokenizer.ggml.model") + b"\x08\0\0\0" + _string("gpt2"),
                        _string("tokenizer.ggml.model") + b"\x08\0\0\0" + _string("llama"), 1)  # fmt: skip
    template = read_header(file).chat_template
    shorter = template.replace("helpful AI", "helpful A", 1)
    file.write_bytes(data.replace(_string(template), _string(shorter), 1))


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
