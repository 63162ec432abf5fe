"""Events cross the wire unchanged."""

from __future__ import annotations

import dataclasses

import pytest

from edgechat.engine.protocol.events import (
    Done,
    Loading,
    Prefill,
    Prefilled,
    Queued,
    Started,
    Text,
    Trimmed,
    from_frame,
    to_frame,
)
from edgechat.engine.protocol.framing import Decoder, encode
from edgechat.errors import EngineProtocolError

EVENTS = [
    Queued("behind 2 running"),
    Loading(0.5, "m"),
    Started("m", "q4_k_m", 2048, 10, 4, ("en", "ja"), True, None, 2048),
    Started("m", "q4_k_m", 2048, 10, 4, (), False, "m:q4_k_m n_ctx 4096 KV f16"),
    Trimmed(4, 4096, "They spoke of pumps.", is_new=True),
    Prefill(5, 10),
    Prefilled(40, 30, 10, is_kept=False),
    Text("日本\n", (1, 2), is_thought=False),
    Text("", (), is_thought=True),
    Done("stop", {"prompt_tokens": 10}, {"decode_tps": 1.5}, 7, False, 1 << 30, 0.25),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_arrives_as_it_was_sent(event):
    (frame,) = Decoder().feed(encode(to_frame(event, 3)))
    assert frame["id"] == 3
    assert from_frame(frame) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_that_lacks_a_field_is_the_protocols_fault(event):
    for field in dataclasses.fields(event):
        frame = to_frame(event, 1)
        del frame[field.name]
        with pytest.raises(EngineProtocolError, match=field.name):
            from_frame(frame)


def test_a_newer_engines_extra_fields_are_ignored():
    assert from_frame({"type": "queued", "id": 1, "reason": "x", "more": 5}) == Queued("x")


@pytest.mark.parametrize("kind", ["hello", "error", "switch", "", "recovered"])
def test_other_frames_are_no_events(kind):
    assert from_frame({"type": kind}) is None
