"""The GGUF header reader: metadata and tensor table of a model file (versions 2 and 3, little-endian), no weights.

Every count, length, type and offset is checked before it is used, so that a file that llama.cpp would refuse or crash
on while reading is refused here with the reason. ``header_shape.py`` interprets the hyperparameters.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, and ``ggml/src/gguf.cpp`` where they differ.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgechat.models.gguf.byte_cursor import MARK_STRIDE, Cursor, invalid, opened, quoted
from edgechat.models.gguf.tensor_types import FILE_TYPES, TYPES, GgmlType, tensor_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

# Limits on what is kept in memory or read, far above any published model (in brackets, the largest seen). With them
# the worst crafted file takes under a second and 50 MB.
MAX_KEYS = 4_096  # (about 70)
MAX_TENSORS = 16_384  # (about 1,500)
MAX_KEY_BYTES = 1024
MAX_STRING_BYTES = 512 << 10  # (a chat template of 20 KB)
MAX_KEPT_CHARACTERS = 1 << 20  # in all strings together; a character takes up to 4 bytes
MAX_ARRAY_STRINGS = 2 << 20  # in all arrays of a file together (Gemma 4: 262,144 tokens and 514,906 merges)
MAX_INLINE = 1024  # longer arrays stay in the file
MAX_KEPT_ELEMENTS = 65_536  # in all shorter ones together (about 300)
MAX_SHARDS = 1024

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_LAYOUTS = {code: struct.Struct(f"<{letter}") for code, letter in _SCALARS.items()}
_U32 = _LAYOUTS[4]

_NOT_GGUF = (
    (b"PK\x03\x04", "a zip archive (PyTorch checkpoints are zip archives too)"),
    (b"\x7fELF", "an ELF program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"ggjt", "a GGML file of before August 2023"),
    (b"tjgg", "a GGML file of before August 2023"),
    (b"ggml", "a GGML file of before August 2023"),
    (b"lmgg", "a GGML file of before August 2023"),
    (b"FUGG", "a big-endian GGUF; only little-endian files run here"),
)

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class GgufArray:
    """A long array that stays in the file; ``GgufHeader.array`` reads it."""

    element: int
    """GGUF value type of the elements."""
    count: int
    offset: int
    """Bytes from the start of the file to the first element."""
    marks: tuple[int, ...]
    """For strings: the offset of every ``MARK_STRIDE``-th one."""


Value = Scalar | tuple[Scalar, ...] | GgufArray


class TensorInfo(NamedTuple):
    """One tensor: ``dims`` in elements (fastest first), ``offset`` in bytes from the start of its file."""

    name: str
    dims: tuple[int, ...]
    kind: GgmlType
    offset: int
    nbytes: int
    shard: int = 0


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The header of one model. Strings in ``metadata`` are as in the file: clean them before printing them."""

    path: Path
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    """Of all shards together, in file order."""
    alignment: int
    data_offset: int
    """Bytes from the start of the (first) file to its first tensor."""
    file_size: int
    """Bytes of all shards together."""
    shards: tuple[Path, ...]
    """The files that make up the model; one for most."""

    @property
    def parameters(self) -> int:
        """Number of the model's parameters: the elements of all tensors."""
        return sum(math.prod(tensor.dims) for tensor in self.tensors)

    @property
    def arch(self) -> str:
        """``general.architecture``, or ``""``."""
        return self.string("general.architecture")

    @property
    def name(self) -> str:
        """``general.name`` without control characters; ``""`` when absent."""
        return _shown(self.string("general.name"))

    @property
    def licence(self) -> str:
        """``general.license`` without control characters; ``""`` when absent."""
        return _shown(self.string("general.license"))

    @property
    def languages(self) -> tuple[str, ...]:
        """``general.languages`` without control characters."""
        value = self.metadata.get("general.languages", ())
        return tuple(_shown(item) for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()

    @property
    def chat_template(self) -> str:
        """The Jinja chat template exactly as stored, or ``""``."""
        return self.string("tokenizer.chat_template")

    @property
    def quant(self) -> str:
        """The label of ``general.file_type`` (``Q4_K_M``), else the commonest tensor type by bytes, else ``""``."""
        label = FILE_TYPES.get(self.integer("general.file_type", -1), "")
        if not label and self.tensors:
            share: dict[str, int] = {}
            for tensor in self.tensors:
                share[tensor.kind.name] = share.get(tensor.kind.name, 0) + tensor.nbytes
            label = max(share, key=lambda name: share[name])
        return label

    @property
    def vocab_size(self) -> int:
        """Entries of the token list (what llama.cpp uses), else ``<arch>.vocab_size``, else 0."""
        return self.count("tokenizer.ggml.tokens") or self.integer(f"{self.arch}.vocab_size", 0)

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special token ids in the file: ``{"bos": 1, "eos": 2, …}``. They may be outside the vocabulary."""
        found = re.compile(r"tokenizer\.ggml\.(\w+)_token_id")
        named = ((found.fullmatch(key), value) for key, value in self.metadata.items())
        return {match[1]: value for match, value in named if match and type(value) is int}

    def string(self, key: str) -> str:
        """The string under ``key``; ``""`` when it is absent or something else."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""

    def integer(self, key: str, default: int) -> int:
        """The integer under ``key``; ``default`` when it is absent or something else."""
        value = self.metadata.get(key, default)
        return value if type(value) is int else default

    def count(self, key: str) -> int:
        """Elements of the array under ``key``; 0 when it is absent or no array."""
        value = self.metadata.get(key)
        if isinstance(value, GgufArray):
            return value.count
        return len(value) if isinstance(value, tuple) else 0

    def array(self, key: str, start: int = 0, stop: int | None = None) -> tuple[Scalar, ...]:
        """Elements ``start`` to ``stop`` of an array, read from the file when it is a :class:`GgufArray`.

        The caller limits the slice: the whole token list of a large vocabulary takes some 20 MB as strings.

        Raises:
            KeyError: no such array.
            InvalidModelFileError: the file changed, or a string is not UTF-8.
        """
        value = self.metadata[key]
        if isinstance(value, tuple):
            return value[start:stop]
        if not isinstance(value, GgufArray):
            raise KeyError(f"{key} is not an array")
        start, stop, _ = slice(start, stop).indices(value.count)
        count = max(0, stop - start)
        with opened(self.path) as (fd, size):
            if value.element != _STRING:
                width = _LAYOUTS[value.element].size
                cursor = Cursor(self.path, fd, size, value.offset + start * width)
                return cursor.numbers(_SCALARS[value.element], count, quoted(key))
            if not count:
                return ()
            cursor = Cursor(self.path, fd, size, value.marks[start // MARK_STRIDE])
            cursor.skip_strings(start % MARK_STRIDE, quoted(key))
            return tuple(
                cursor.text(MAX_STRING_BYTES, f"entry {index} of {quoted(key)}") for index in range(start, stop)
            )


def read_header(path: str | os.PathLike[str]) -> GgufHeader:
    """Read the header of a model file; for the first part of a split model, of all its parts.

    Raises:
        ModelNotFoundError: there is no such file.
        InvalidModelFileError: it is no GGUF, is damaged or cut off, or cannot be read; or a part is missing.
    """
    first = _read_file(Path(path), 0)
    parts = first.integer("split.count", 1)
    if parts <= 1:
        return first
    number = first.integer("split.no", 0)
    shards = _shards(first.path, number, parts)
    if number != 0:
        raise invalid(first.path, f"it is part {number + 1} of {parts}", f"Give the first part, {shards[0].name}.")
    headers = [first]
    for index, shard in enumerate(shards[1:], 1):
        if not shard.exists():
            raise invalid(
                first.path, f"part {index + 1} of {parts} is missing", f"Put {shard.name} into the same directory."
            )
        header = _read_file(shard, index)
        if header.integer("split.no", -1) != index or header.integer("split.count", -1) != parts:
            raise invalid(shard, f"it does not say that it is part {index + 1} of {parts}")
        headers.append(header)
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise invalid(first.path, "two of its parts hold the same tensor")
    if first.integer("split.tensors.count", len(tensors)) != len(tensors):
        raise invalid(first.path, f"its parts hold {len(tensors)} tensors, not the number it announces")
    return replace(first, tensors=tensors, shards=shards, file_size=sum(header.file_size for header in headers))


def shard_names(name: str) -> tuple[str, ...]:
    """The names of all parts when ``name`` is ``X-0000n-of-0000m.gguf``; otherwise the name alone."""
    match = re.fullmatch(r"(.*-)(\d{5})-of-(\d{5})\.gguf", name, re.DOTALL)
    if match is None or not 1 <= int(match[2]) <= int(match[3]) <= MAX_SHARDS:
        return (name,)
    return tuple(f"{match[1]}{part:05d}-of-{match[3]}.gguf" for part in range(1, int(match[3]) + 1))


def _shards(path: Path, number: int, parts: int) -> tuple[Path, ...]:
    names = shard_names(path.name)
    if len(names) != parts or not 0 <= number < parts or names[number] != path.name:
        raise invalid(
            path,
            f"it is part {number + 1} of {parts}, which its name does not say",
            f"Name the parts like model-00001-of-{parts:05d}.gguf, as they were published.",
        )
    return tuple(path.with_name(name) for name in names)


def _read_file(path: Path, shard: int) -> GgufHeader:
    with opened(path) as (fd, size):
        cursor = Cursor(path, fd, size)
        version = _version(cursor)
        n_tensors = cursor.length("the number of tensors")
        n_keys = cursor.length("the number of metadata keys")
        if n_tensors > MAX_TENSORS:
            cursor.fail(f"it announces {n_tensors} tensors; at most {MAX_TENSORS} are read")
        if n_keys > MAX_KEYS:
            cursor.fail(f"it announces {n_keys} metadata keys; at most {MAX_KEYS} are read")
        metadata = _metadata(cursor, n_keys)
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            cursor.fail("general.alignment is not a power of two")
        tensors, data_offset = _tensors(cursor, n_tensors, alignment, shard)
    return GgufHeader(path, version, metadata, tensors, alignment, data_offset, size, (path,))


def _version(cursor: Cursor) -> int:
    start = cursor.peek(512)
    if not start:
        cursor.fail("it is empty")
    if start[:4] != b"GGUF":
        kind = next((what for magic, what in _NOT_GGUF if start.startswith(magic)), "")
        if not kind and start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            kind = "an HTML page, as a login or an error leaves it"
        if not kind and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < cursor.size:
            kind = "a safetensors file"
        cursor.fail(f"it is {kind}" if kind else "it does not begin with GGUF", "Download the .gguf file itself.")
    cursor.skip(4, "the magic")
    version = int(cursor.number(_U32, "the version"))
    if version in (0x01000000, 0x02000000, 0x03000000):
        cursor.fail("it is a big-endian GGUF; only little-endian files run here", "Use the ordinary file.")
    if version == 1:
        cursor.fail("it is GGUF version 1 (of August 2023), which llama.cpp no longer reads", "Use a newer file.")
    if version not in (2, 3):
        cursor.fail(f"it is GGUF version {version}; versions 2 and 3 are read", "Use another file, or update edgechat.")
    return version


def _metadata(cursor: Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    characters = elements = skipped = 0
    for index in range(count):
        key = cursor.text(MAX_KEY_BYTES, f"metadata key {index}")
        what = quoted(key)
        if not key:
            cursor.fail(f"metadata key {index} is empty")
        if key in metadata:
            cursor.fail(f"the metadata key {what} appears twice")
        value = metadata[key] = _value(cursor, key, what)
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, tuple):
            elements += len(value)
            characters += sum(len(item) for item in value if isinstance(item, str))
        elif isinstance(value, GgufArray) and value.element == _STRING:
            skipped += value.count
        if characters > MAX_KEPT_CHARACTERS:
            cursor.fail(f"its metadata holds more than {MAX_KEPT_CHARACTERS} characters of text")
        if elements > MAX_KEPT_ELEMENTS:
            cursor.fail(f"its short metadata arrays hold more than {MAX_KEPT_ELEMENTS} elements")
        if skipped > MAX_ARRAY_STRINGS:
            cursor.fail(f"its metadata arrays hold more than {MAX_ARRAY_STRINGS} strings")
    return metadata


def _value(cursor: Cursor, key: str, what: str) -> Value:
    code = int(cursor.number(_U32, f"the type of {what}"))
    if code in _LAYOUTS:
        return cursor.number(_LAYOUTS[code], what)
    if code == _STRING:
        return cursor.text(MAX_STRING_BYTES, what)
    if code != _ARRAY:
        cursor.fail(f"{what} has the unknown value type {code}")
    element = int(cursor.number(_U32, f"the element type of {what}"))
    count = cursor.length(f"the length of {what}")
    if element == _ARRAY:
        cursor.fail(f"{what} is an array of arrays, which llama.cpp does not read")
    if element != _STRING and element not in _LAYOUTS:
        cursor.fail(f"{what} has the unknown element type {element}")
    width = 8 if element == _STRING else _LAYOUTS[element].size
    if count * width > cursor.remaining:
        cursor.fail(f"{what} is said to have {count} elements, past the end of the file")
    offset = cursor.offset
    # Token lists are never kept, so that the same checks apply to short and long ones.
    if count <= MAX_INLINE and not key.startswith("tokenizer."):
        if element == _STRING:
            return tuple(cursor.text(MAX_KEY_BYTES, f"entry {index} of {what}") for index in range(count))
        return cursor.numbers(_SCALARS[element], count, what)
    if element != _STRING:
        cursor.skip(count * width, what)
        return GgufArray(element, count, offset, ())
    if count > MAX_ARRAY_STRINGS:
        cursor.fail(f"{what} holds {count} strings; at most {MAX_ARRAY_STRINGS} are read")
    return GgufArray(element, count, offset, cursor.skip_strings(count, what))


def _tensors(cursor: Cursor, count: int, alignment: int, shard: int) -> tuple[tuple[TensorInfo, ...], int]:
    found: list[tuple[str, tuple[int, ...], GgmlType, int]] = []
    names: set[str] = set()
    for index in range(count):
        name = cursor.text(63, f"the name of tensor {index}")  # GGML_MAX_NAME is 64 with the terminator
        what = f"tensor {quoted(name)}"
        if not name:
            cursor.fail(f"tensor {index} has no name")
        if name in names:
            cursor.fail(f"{what} appears twice")
        names.add(name)
        n_dims = int(cursor.number(_U32, what))
        if n_dims > 4:
            cursor.fail(f"{what} has {n_dims} dimensions; at most 4 are possible")
        dims = tuple(int(dim) for dim in cursor.numbers("Q", n_dims, what))
        kind = TYPES.get(code := int(cursor.number(_U32, what)))
        if kind is None:
            cursor.fail(f"{what} has the type {code}, which llama.cpp does not know", "Use another file of this model.")
        if 0 in dims or (dims[0] if dims else 1) % kind.block:
            cursor.fail(f"{what} has the dimensions {list(dims)}, impossible for the type {kind.name}")
        found.append((name, dims, kind, cursor.length(what)))
    start = -(-cursor.offset // alignment) * alignment if count else cursor.offset
    tensors: list[TensorInfo] = []
    expected = 0
    for name, dims, kind, offset in found:
        # llama.cpp wants tensors back to back in the order of their infos, each padded to the alignment.
        if offset != expected:
            how = "is misaligned" if offset % alignment else "overlaps another" if offset < expected else "leaves a gap"
            cursor.fail(f"tensor {quoted(name)} {how}: it lies at {offset}, not at {expected}")
        nbytes = tensor_bytes(kind, dims)
        if start + offset + nbytes > cursor.size:
            cursor.fail(
                f"tensor {quoted(name)} ends at byte {start + offset + nbytes}, but the file has only {cursor.size}: "
                "it is cut off"
            )
        tensors.append(TensorInfo(name, dims, kind, start + offset, nbytes, shard))
        expected = offset + -(-nbytes // alignment) * alignment
    return tuple(tensors), start


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:200])
