"""Damaged headers, thousands of them: each is read or refused with InvalidModelFileError, in bounded memory and work.

The small base has the starter model's real keys and tensor list with its token lists cut to 64 entries, so that
damage falls on structure and not, nearly always, inside some token.
"""

from __future__ import annotations

import os
import random
import resource
import struct
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidModelFileError
from edgechat.models.gguf.checks import MAX_VOCAB, require_loadable
from edgechat.models.gguf.header import MAX_ARRAY_STRINGS, MAX_KEYS, MAX_TENSORS, GgufArray, read_header
from edgechat.models.gguf.header_shape import shape_of, weight_bytes
from tests.models.gguf_writer import Raw, Tensor, Typed, header_bytes, metadata_of, starter_path, string, write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 20261121
COUNTS = tuple(
    struct.pack("<Q", value)
    for value in (
        0,
        1,
        1 << 16,
        1 << 31,
        1 << 32,
        1 << 40,
        1 << 62,
        (1 << 63) - 1,
        1 << 63,
        (1 << 64) - 8,
        (1 << 64) - 1,
    )
)


def use(path: Path) -> bool:
    """Everything the product does with a header. Only InvalidModelFileError may leave it."""
    try:
        header = read_header(path)
        require_loadable(header, tokens=True)
        shape_of(header)
        weight_bytes(header, ("avx2",))
    except InvalidModelFileError as error:
        refused = error.message
    else:
        assert header.name.isprintable()
        return True
    assert str(path) in refused
    assert refused.isprintable()
    return False


def small_base(path: Path) -> Path:
    header = read_header(starter_path())
    metadata: dict[str, object] = {}
    for key, value in header.metadata.items():
        if isinstance(value, GgufArray):
            kept = header.array(key, 0, 64)
            metadata[key] = Typed("i32", kept) if isinstance(kept[0], int) else list(kept)
        else:
            metadata[key] = list(value) if isinstance(value, tuple) else value
    metadata["llama.vocab_size"] = 64
    tensors = [Tensor(tensor.name, tensor.dims, tensor.kind.name) for tensor in header.tensors]
    return write_gguf(path, metadata, tensors)


def mutations(rng: random.Random, head: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    """Where to write what: flipped bits, random bytes, and 8-byte fields set to what a count must never be."""
    # Three in four fall into the metadata, which has far fewer bytes than the tensor list.
    keys_end = head.index(b"token_embd.weight")
    for _ in range(count):
        at = rng.randrange(keys_end if rng.random() < 0.75 else len(head) - 8)
        kind = rng.randrange(4)
        if kind == 0:
            yield at, bytes([head[at] ^ (1 << rng.randrange(8))])
        elif kind == 1:
            yield at, rng.randbytes(rng.choice((1, 2, 4, 8)))
        elif kind == 2:
            yield at, rng.choice(COUNTS)
        else:
            source = rng.randrange(len(head) - 16)
            yield at, head[source : source + 16]


def damage(path: Path, seed: int, count: int) -> tuple[int, int]:
    """Apply mutations one at a time to the file in place; returns how many it survived and how many it was refused."""
    data_offset = read_header(path).data_offset
    with path.open("rb") as file:
        head = file.read(data_offset)
    size = path.stat().st_size
    rng = random.Random(seed)
    outcome = [0, 0]
    with path.open("r+b", buffering=0) as file:
        for number, (at, data) in enumerate(mutations(rng, head, count)):
            if number % 10 == 9:
                os.truncate(path, rng.randrange(data_offset))
                outcome[not use(path)] += 1
                os.pwrite(file.fileno(), head, 0)
                os.truncate(path, size)
                continue
            os.pwrite(file.fileno(), data, at)
            outcome[not use(path)] += 1
            os.pwrite(file.fileno(), head[at : at + len(data)], at)
    assert use(path), "the base must be whole again"
    return outcome[0], outcome[1]


@pytest.mark.slow
def test_10000_damaged_headers_are_read_or_refused(tmp_path: Path) -> None:
    path = small_base(tmp_path / "base.gguf")
    assert use(path)
    survived, refused = damage(path, SEED, 10_000)
    # Most damage must be noticed; a flipped bit in a name or a template is none of the reader's business.
    assert refused > survived


@pytest.mark.slow
def test_damage_to_the_whole_real_header(tmp_path: Path) -> None:
    path = tmp_path / "starter.gguf"
    header = read_header(starter_path())
    with starter_path().open("rb") as file:
        path.write_bytes(file.read(header.data_offset))
    os.truncate(path, header.file_size)
    survived, refused = damage(path, SEED, 300)
    assert survived + refused == 300


def test_damaged_headers_take_little_memory(tmp_path: Path) -> None:
    path = small_base(tmp_path / "base.gguf")
    tracemalloc.start()
    try:
        damage(path, SEED + 1, 200)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def strings(count: int, each: bytes) -> Raw:
    return Raw(struct.pack("<IIQ", 9, 8, count) + each * count)


def worst_files(folder: Path) -> Iterator[Path]:
    """Whole files at every limit: what costs the reader the most that it still accepts."""
    base = metadata_of()
    yield write_gguf(folder / "strings.gguf", base | {"tokenizer.ggml.tokens": strings(MAX_ARRAY_STRINGS, string(b""))})
    # Everything at once. One character outside the basic plane makes Python take four bytes for each of a string.
    most: dict[str, object] = {f"text{index}": "x" * ((1 << 19) - 8) + "\N{ROCKET}" for index in range(2)}
    most |= {f"{index:0>200}": [1.5] * 1024 for index in range(60)}
    most |= {f"{index:0>1000}": index for index in range(MAX_KEYS - len(most) - len(base) - 8)}
    tokens = b"".join(string(f"{index:064d}") for index in range(MAX_VOCAB))
    vocabulary = Raw(struct.pack("<IIQ", 9, 8, MAX_VOCAB) + tokens)
    tensors = [Tensor("token_embd.weight", (32,)), *(Tensor(f"{i:0>63}", (1, 1, 1, 1)) for i in range(MAX_TENSORS - 1))]
    yield write_gguf(folder / "most.gguf", base | most | {"tokenizer.ggml.tokens": vocabulary}, tensors)
    # One token as long as the file claims to be large: 1 TB that is a hole.
    hole = folder / "hole.gguf"
    hole.write_bytes(
        header_bytes([("tokenizer.ggml.tokens", Raw(struct.pack("<IIQQ", 9, 8, 1, 1 << 40)))], [], n_keys=2)
    )
    os.truncate(hole, (1 << 40) + 4096)
    yield hole


CHILD = """
import resource, sys
from pathlib import Path
from edgechat.errors import InvalidModelFileError
from edgechat.models.gguf.header import read_header
from edgechat.models.gguf.checks import require_loadable
from edgechat.models.gguf.header_shape import shape_of, weight_bytes
def peak():
    # VmHWM, not ru_maxrss, which a child inherits from its parent.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = peak()
try:
    header = read_header(sys.argv[1])
    shape_of(header)
    require_loadable(header, tokens=True)
    weight_bytes(header)
except InvalidModelFileError as error:
    print("refused:", error.message[-60:], file=sys.stderr)
print(peak() - before)
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM from /proc")
def test_the_worst_files_stay_below_50_mb(tmp_path: Path) -> None:
    for path in worst_files(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20)),
        )
        assert done.returncode == 0, (path.name, done.stderr)
        assert int(done.stdout) * 1024 < 50_000_000, path.name
