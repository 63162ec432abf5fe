"""Frames survive any cutting, and nothing but frames is accepted."""

from __future__ import annotations

import collections
import itertools
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.protocol.framing import Decoder, encode
from edgechat.engine.protocol.limits import MAX_FRAME
from edgechat.errors import EngineProtocolError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé\n\0", max_size=4), inner, max_size=4),
    max_leaves=12,
)
FRAMES = st.builds(lambda kind, extra: {**extra, "type": kind}, st.text(), st.dictionaries(st.text("xyz"), VALUES))


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(i, len(data)) for i in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 400), max_size=12))
def test_frames_arrive_whole_and_in_order_however_the_stream_is_cut(frames, cuts):
    decoder = Decoder()
    stream = b"".join(map(encode, frames))
    assert [frame for piece in cut(stream, cuts) for frame in decoder.feed(piece)] == frames


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_noise_yields_frames_or_a_protocol_error_and_nothing_else(noise, cuts):
    decoder = Decoder()
    try:
        for piece in cut(noise, cuts):
            for frame in decoder.feed(piece):
                assert isinstance(frame["type"], str)
    except EngineProtocolError:
        pass


def body(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"type"',
        b"{}",
        b'{"type":1}',
        b'{"type":null}',
        b'{"type":"x"',
        b"\xff\xfe\x00",
        b'{"type":"\xff"}',
        b"[" * 100_000,
        b'{"type":' + b"9" * 5000 + b"}",
    ],
)
def test_a_message_that_is_not_a_typed_object_is_refused(content):
    with pytest.raises(EngineProtocolError):
        list(Decoder().feed(body(content)))


def test_an_announced_length_beyond_the_limit_is_refused_before_anything_is_kept():
    with pytest.raises(EngineProtocolError, match=str(MAX_FRAME + 1)):
        list(Decoder().feed(struct.pack(">I", MAX_FRAME + 1)))


def test_a_frame_too_large_to_send_is_refused_with_the_limit():
    with pytest.raises(EngineProtocolError, match=str(MAX_FRAME)):
        encode({"type": "x", "text": "x" * MAX_FRAME})


def test_half_a_surrogate_pair_from_a_command_line_does_not_break_the_wire():
    """Python hands undecodable arguments over as lone surrogates."""
    (frame,) = Decoder().feed(encode({"type": "x", "text": "caf\udce9"}))
    assert frame["text"] == "caf?"


def test_any_two_versions_can_read_each_others_hello():
    """The one shape that never changes: length, then a JSON object with these names."""
    data = encode({"type": "hello", "version": "1.2.3", "protocol": 7, "keeps": False})
    assert struct.unpack(">I", data[:4])[0] == len(data) - 4
    assert json.loads(data[4:]) == {"type": "hello", "version": "1.2.3", "protocol": 7, "keeps": False}


def bounded(body: bytes) -> list[dict[str, object]]:
    decoder = Decoder(is_bounded=True)
    data = struct.pack(">I", len(body)) + body
    return [frame for at in range(0, len(data), 1 << 16) for frame in decoder.feed(data[at : at + (1 << 16)])]


def test_only_a_request_may_be_long() -> None:
    text = "x" * 1_000_000
    assert len(bounded(encode({"type": "generate", "id": 1, "request": {"text": text}})[4:])) == 1
    for body in (
        encode({"type": "status", "x": text})[4:],
        encode({"x": text, "type": "generate"})[4:],
        b'{"type":"generate","x":"' + text.encode() + b'","type":"status"}',
    ):
        with pytest.raises(EngineProtocolError):
            bounded(body)


def test_a_bomb_is_refused_while_it_arrives() -> None:
    """31 MB of ``{},`` made the engine 850 MB larger and deaf for 1.4 s."""
    decoder = Decoder(is_bounded=True)
    pieces = [struct.pack(">I", 31_000_000) + b'{"type":"generate","x":[', *[b"{}," * 20_000] * 10]
    with pytest.raises(EngineProtocolError):
        collections.deque((list(decoder.feed(piece)) for piece in pieces), maxlen=0)


def test_a_long_frame_of_another_type_is_refused_at_its_beginning() -> None:
    decoder = Decoder(is_bounded=True)
    with pytest.raises(EngineProtocolError):
        list(decoder.feed(struct.pack(">I", 31_000_000) + b'{"type":"status","x":[' + b"{}," * 100))
