from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidModelFileError, ModelNotFoundError
from edgechat.models.gguf.byte_cursor import MARK_STRIDE, WINDOW, Cursor
from edgechat.models.gguf.header import MAX_ARRAY_STRINGS, MAX_KEYS, MAX_TENSORS, read_header, shard_names
from tests.models.gguf_writer import (
    Raw,
    Tensor,
    Typed,
    header_bytes,
    metadata_of,
    starter_path,
    string,
    tensors_of,
    tiny_model,
    write_gguf,
)

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 1 << 63


def refusal(path: Path) -> str:
    """The message with which a file is refused; it must name the file."""
    with pytest.raises(InvalidModelFileError) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


class TestStarter:
    def test_says_what_llama_cpp_prints_for_it(self) -> None:
        # llama.cpp's own loader log of this file: 33 keys, 272 tensors, type f32 61, q4_1 210, q8_0 1.
        header = read_header(starter_path())
        kinds = [tensor.kind.name for tensor in header.tensors]
        assert (header.version, len(header.metadata), len(kinds)) == (3, 33, 272)
        assert {kind: kinds.count(kind) for kind in kinds} == {"F32": 61, "Q4_1": 210, "Q8_0": 1}
        assert (header.arch, header.quant, header.vocab_size) == ("llama", "Q4_1", 49152)
        assert (header.licence, header.languages) == ("apache-2.0", ("en",))
        assert header.special_tokens == {"bos": 1, "eos": 2, "unknown": 0, "padding": 2}
        assert "<|im_start|>" in header.chat_template

    def test_its_tensors_fill_the_file_exactly(self) -> None:
        header = read_header(starter_path())
        assert header.tensors[0].offset == header.data_offset == 1_785_664
        assert (
            header.tensors[-1].offset + header.tensors[-1].nbytes == header.file_size == starter_path().stat().st_size
        )

    def test_reads_tokens_on_demand(self) -> None:
        header = read_header(starter_path())
        assert header.array("tokenizer.ggml.tokens", 0, 3) == ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
        assert header.count("tokenizer.ggml.merges") == 48900


def test_all_value_types_come_back(tmp_path: Path) -> None:
    values = {
        "a.u8": Typed("u8", 255), "a.i8": Typed("i8", -1), "a.u16": Typed("u16", 65535), "a.i16": Typed("i16", -2),
        "a.u32": Typed("u32", 1 << 31), "a.i32": Typed("i32", -3), "a.f32": Typed("f32", 0.5), "a.no": False,
        "a.yes": True, "a.str": "Grüße, 世界", "a.u64": Typed("u64", 1 << 63), "a.i64": Typed("i64", -(1 << 63)),
        "a.f64": Typed("f64", 0.1), "a.strings": ["x", ""], "a.flags": [True, False], "a.none": [],
    }  # fmt: skip
    metadata = read_header(write_gguf(tmp_path / "all.gguf", values)).metadata
    assert dict(metadata) == {
        key: tuple(item) if isinstance(item, list) else item.value if isinstance(item, Typed) else item
        for key, item in values.items()
    }


@pytest.mark.parametrize("count", [1, MARK_STRIDE, MARK_STRIDE + 1, 3 * MARK_STRIDE - 1])
def test_a_slice_of_a_long_array_equals_what_was_written(tmp_path: Path, count: int) -> None:
    tokens = [f"token{index}" * (index % 7) for index in range(count)]
    header = read_header(
        write_gguf(tmp_path / "v.gguf", {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": [0.5] * count})
    )
    assert header.array("tokenizer.ggml.tokens") == tuple(tokens)
    for start in {0, 1, count // 2, max(0, count - 2), MARK_STRIDE - 1, MARK_STRIDE}:
        assert header.array("tokenizer.ggml.tokens", start, start + 3) == tuple(tokens[start : start + 3])
        assert header.array("tokenizer.ggml.scores", start, start + 3) == (0.5,) * len(tokens[start : start + 3])


def test_strings_longer_than_a_window_are_stepped_over(tmp_path: Path) -> None:
    tokens = ["a", "b" * (3 * WINDOW), "", "c"]
    header = read_header(write_gguf(tmp_path / "v.gguf", {"tokenizer.ggml.tokens": tokens, "after": 7}))
    assert header.metadata["after"] == 7
    assert header.array("tokenizer.ggml.tokens", 2) == ("", "c")


def test_a_vocabulary_of_150000_is_not_built(tmp_path: Path) -> None:
    tokens = [f"tok{index}" for index in range(150_000)]
    metadata = metadata_of(n_vocab=8) | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": tokens}
    path = write_gguf(tmp_path / "large.gguf", metadata, tensors_of())
    tracemalloc.start()
    try:
        header = read_header(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert header.vocab_size == 150_000
    # As strings they would take 16 MB.
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"GGU", "does not begin with GGUF"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"\x7fELF" + bytes(40), "ELF program"),
        (b"\x1f\x8b" + bytes(40), "gzip"),
        (b"\n <!DOCTYPE html><html>Sign in</html>", "HTML page"),
        (b"<HTML>404", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (struct.pack("<Q", 2) + b"{}" + bytes(40), "safetensors"),
        (b"tjgg" + bytes(40), "before August 2023"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(40), "version 1"),
        (b"GGUF" + struct.pack("<I", 4) + bytes(40), "version 4"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(40), "big-endian"),
        (b"FUGG" + struct.pack(">I", 3) + bytes(40), "big-endian"),
        (bytes(4096), "does not begin with GGUF"),
    ],
)
def test_what_is_no_gguf_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "renamed.gguf"
    path.write_bytes(content)
    assert said in refusal(path)


def test_version_2_reads_like_version_3(tmp_path: Path) -> None:
    two = read_header(write_gguf(tmp_path / "2.gguf", metadata_of(), tensors_of(), version=2))
    three = read_header(write_gguf(tmp_path / "3.gguf", metadata_of(), tensors_of(), version=3))
    assert (two.version, two.metadata, two.tensors) == (2, three.metadata, three.tensors)


def test_a_file_cut_at_any_byte_of_its_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(header_bytes(metadata_of(n_vocab=3), tensors_of(1)))
    assert "cut off" in refusal(path)
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        refusal(path)


@pytest.mark.parametrize("lie", [HUGE, (1 << 64) - 1, 1 << 40, max(MAX_KEYS, MAX_TENSORS) + 1])
def test_counts_that_lie_are_refused(tmp_path: Path, lie: int) -> None:
    assert f"{lie} tensors" in refusal(write_gguf(tmp_path / "t.gguf", metadata_of(), n_tensors=lie))
    assert f"{lie} metadata keys" in refusal(write_gguf(tmp_path / "k.gguf", metadata_of(), n_keys=lie))


@pytest.mark.parametrize("lie", [1, 7, 4_000])
def test_counts_that_lie_a_little_are_refused(tmp_path: Path, lie: int) -> None:
    count = len(tensors_of())
    refusal(write_gguf(tmp_path / "t.gguf", metadata_of(), tensors_of(), n_tensors=count + lie))
    refusal(
        write_gguf(tmp_path / "k.gguf", metadata_of(), tensors_of(), n_keys=min(MAX_KEYS, len(metadata_of()) + lie))
    )


@pytest.mark.parametrize("lie", [HUGE, HUGE - 1, (1 << 64) - 1, (1 << 64) - 8, 1 << 32, 500])
@pytest.mark.parametrize(
    "metadata",
    [
        lambda lie: [("ok", Raw(struct.pack("<IQ", 8, lie) + b"abc"))],
        lambda lie: [("ok", Raw(struct.pack("<IIQ", 9, 4, lie) + b"abcd"))],
        lambda lie: [("ok", Raw(struct.pack("<IIQ", 9, 8, lie) + string("abcd")))],
        lambda lie: [("tokenizer.ggml.tokens", Raw(struct.pack("<IIQQ", 9, 8, 2, lie) + b"abcdefgh"))],
        lambda lie: [("tokenizer.ggml.scores", Raw(struct.pack("<IIQ", 9, 6, lie) + b"abcd"))],
    ],
    ids=["string", "numbers", "strings", "token", "scores"],
)
def test_lengths_that_lie_are_refused(tmp_path: Path, metadata, lie: int) -> None:
    said = refusal(write_gguf(tmp_path / "l.gguf", metadata(lie)))
    assert "past the end" in said or "ends inside" in said


def test_a_key_whose_length_lies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE) + b"general")
    assert "past the end" in refusal(path)


def test_more_strings_than_a_vocabulary_has_are_not_walked_through(tmp_path: Path) -> None:
    path = tmp_path / "many.gguf"
    count = MAX_ARRAY_STRINGS // 2 + 1
    array = Raw(struct.pack("<IIQ", 9, 8, count) + bytes(8 * count))
    write_gguf(path, {"tokenizer.ggml.tokens": array, "tokenizer.ggml.merges": array})
    assert "strings" in refusal(path)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ([("a", Raw(struct.pack("<IIQ", 9, 9, 1) + value))], "array of arrays")
        for value in (b"", struct.pack("<IQ", 4, 1) + bytes(4))
    ]
    + [
        ([("a", Raw(struct.pack("<I", 13)))], "unknown value type 13"),
        ([("a", Raw(struct.pack("<I", 0xFFFFFFFF)))], "unknown value type"),
        ([("a", Raw(struct.pack("<IIQ", 9, 77, 0)))], "unknown element type 77"),
        ([("a", 1), ("a", 1)], "appears twice"),
        ([("", 1)], "is empty"),
        ([("general.name", b"Caf\xe9")], "not UTF-8 (0xe9 at byte 3)"),
        ([(b"general.\xff", 1)], "not UTF-8"),
        ([("general.languages", [b"en", b"\xff"])], "not UTF-8"),
        ([("general.alignment", 0)], "power of two"),
        ([("general.alignment", 48)], "power of two"),
        ([("general.alignment", "32")], "power of two"),
        ([("general.description", "x" * (2 << 20))], "at most"),
        ([(f"k{index}", "x" * (1 << 19)) for index in range(3)], "characters of text"),
        ([(f"k{index}", [1.5] * 1024) for index in range(65)], "short metadata arrays"),
    ],
)
def test_impossible_metadata_is_refused(tmp_path: Path, metadata, said: str) -> None:
    assert said in refusal(write_gguf(tmp_path / "m.gguf", metadata))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (Tensor("b", (8,), offset=1), "misaligned"),
        (Tensor("b", (8,), offset=0), "overlaps"),
        (Tensor("b", (8,), offset=HUGE), "leaves a gap"),
        (Tensor("b", (8,), offset=(1 << 64) - 32), "leaves a gap"),
        (Tensor("b", (1, 1, 1, 1, 1)), "5 dimensions"),
        (Tensor("b", (8,), code=4), "type 4"),
        (Tensor("b", (8,), code=31), "type 31"),
        (Tensor("b", (8,), code=0xFFFFFFFF), "type 4294967295"),
        (Tensor("b", (8, 0)), "dimensions"),
        (Tensor("b", (8,), code=12), "impossible for the type Q4_K"),
        (Tensor("a", (8,)), "appears twice"),
        (Tensor("", (8,)), "has no name"),
        (Tensor("n" * 64, (8,)), "64 bytes long"),
    ],
)
def test_impossible_tensors_are_refused(tmp_path: Path, tensor: Tensor, said: str) -> None:
    assert said in refusal(write_gguf(tmp_path / "t.gguf", metadata_of(), [Tensor("a", (32,)), tensor]))


@pytest.mark.parametrize("dims", [(HUGE,), (1 << 62, 1 << 62), ((1 << 64) - 32,) * 4])
def test_tensors_larger_than_the_file_are_refused(tmp_path: Path, dims: tuple[int, ...]) -> None:
    path = tmp_path / "t.gguf"
    path.write_bytes(header_bytes(metadata_of(), [Tensor("a", dims)]) + bytes(64))
    assert "cut off" in refusal(path)


def test_a_larger_alignment_moves_the_data(tmp_path: Path) -> None:
    tensors = [Tensor("a", (3,)), Tensor("b", (3,))]
    header = read_header(write_gguf(tmp_path / "a.gguf", {"general.alignment": 256}, tensors, alignment=256))
    assert header.data_offset % 256 == 0
    assert header.tensors[1].offset == header.data_offset + 256


def test_names_that_meet_a_terminal_hold_no_control_characters(tmp_path: Path) -> None:
    metadata = metadata_of() | {"general.name": "\x1b]0;owned\x07\u202egnp.exe", "general.languages": ["e\x1bn"]}
    header = read_header(write_gguf(tmp_path / "n.gguf", metadata))
    assert all(text.isprintable() for text in (header.name, *header.languages))
    key = "k\x1b[2J"
    assert "\x1b" not in refusal(write_gguf(tmp_path / "m.gguf", [(key, 1), (key, 1)]))


def test_quant_falls_back_to_what_most_bytes_are(tmp_path: Path) -> None:
    metadata = metadata_of()
    del metadata["general.file_type"]
    tensors = [Tensor("big", (256, 64), "Q6_K"), Tensor("small", (32,))]
    assert read_header(write_gguf(tmp_path / "q.gguf", metadata, tensors)).quant == "Q6_K"


def test_a_missing_file_is_not_an_invalid_one(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"nowhere\.gguf"):
        read_header(tmp_path / "nowhere.gguf")


def test_directories_and_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "regular file" in refusal(tmp_path / "pipe.gguf")
    assert "regular file" in refusal(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shrinks.gguf"
    path.write_bytes(b"12345678")
    with path.open("rb") as file, pytest.raises(InvalidModelFileError, match="became shorter"):
        Cursor(path, file.fileno(), 100, 8).length("a count")


class TestShards:
    def write(self, folder: Path, parts: int = 3) -> list[Path]:
        paths = []
        for index, name in enumerate(shard_names(f"big-00001-of-{parts:05d}.gguf")):
            split = {"split.no": Typed("u16", index), "split.count": Typed("u16", parts), "split.tensors.count": parts}
            metadata = (metadata_of() if index == 0 else {}) | split
            paths.append(write_gguf(folder / name, metadata, [Tensor(f"t{index}", (32, index + 1))]))
        return paths

    def test_are_read_together_from_the_first(self, tmp_path: Path) -> None:
        paths = self.write(tmp_path)
        header = read_header(paths[0])
        assert header.shards == tuple(paths)
        assert [(tensor.name, tensor.shard) for tensor in header.tensors] == [("t0", 0), ("t1", 1), ("t2", 2)]
        assert header.file_size == sum(path.stat().st_size for path in paths)

    def test_another_part_names_the_first(self, tmp_path: Path) -> None:
        paths = self.write(tmp_path)
        with pytest.raises(InvalidModelFileError, match="part 2 of 3") as caught:
            read_header(paths[1])
        assert paths[0].name in caught.value.hint

    def test_a_missing_part_is_named(self, tmp_path: Path) -> None:
        paths = self.write(tmp_path)
        paths[2].unlink()
        with pytest.raises(InvalidModelFileError, match="part 3 of 3 is missing") as caught:
            read_header(paths[0])
        assert paths[2].name in caught.value.hint

    def test_parts_in_the_wrong_place_are_refused(self, tmp_path: Path) -> None:
        paths = self.write(tmp_path)
        paths[1].write_bytes(paths[2].read_bytes())
        with pytest.raises(InvalidModelFileError, match="part 2 of 3"):
            read_header(paths[0])

    def test_a_renamed_first_part_is_refused(self, tmp_path: Path) -> None:
        renamed = self.write(tmp_path)[0].rename(tmp_path / "model.gguf")
        assert "name does not say" in refusal(renamed)

    @pytest.mark.parametrize("name", ["model.gguf", "m-00002-of-00001.gguf", "m-00000-of-00002.gguf", "m-1-of-2.gguf"])
    def test_other_names_stand_alone(self, name: str) -> None:
        assert shard_names(name) == (name,)


@pytest.mark.process
def test_reading_a_shape_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from edgechat.models.gguf.header import read_header;"
        "from edgechat.models.gguf.header_shape import shape_of;"
        f"shape_of(read_header({str(tiny_model(tmp_path / 'm.gguf'))!r}));"
        "print([name for name in ('numpy', 'pydantic', 'llama_cpp', 'jinja2', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
