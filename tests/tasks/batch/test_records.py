"""What a run reads: encodings to the byte, JSON lines, CSV with types, forms by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.errors import InvalidInputError, UsageError
from edgechat.tasks.batch import records, text_encoding
from edgechat.tasks.batch.formats import input_form, output_format
from edgechat.tasks.contract import published_schema
from edgechat.tasks.registry import load

DRIVING = published_schema(load("driving"), "input")
ROOTCAUSE = published_schema(load("rootcause"), "input")


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(
    st.text("aあ漢ｱ表ソ\n,", max_size=50), st.sampled_from(["utf-8", "cp932", "euc_jp", "utf-16"]), st.integers(1, 7)
)
def test_decoding_in_pieces_gives_what_decoding_at_once_gives(text, encoding, size):
    assert "".join(text_encoding.decoded(in_pieces(text.encode(encoding), size), encoding, "x")) == text


@given(st.text("ab\n\u2028\u0085\r漢", max_size=80), st.integers(1, 9))
def test_lines_end_at_newlines_alone_and_lose_nothing(text, size):
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    found = list(text_encoding.lines(pieces, "x"))
    assert "".join(found) == text
    assert all(line.count("\n") == line.endswith("\n") for line in found)


@given(st.text("aあ漢\n", max_size=50), st.integers(1, 9))
def test_a_byte_that_does_not_belong_is_named_with_its_place(text, size):
    good = text.encode()
    data = good + b"\xff" + "後".encode()
    with pytest.raises(InvalidInputError) as caught:
        list(text_encoding.decoded(in_pieces(data, size), "utf-8", "in.csv"))
    assert f"byte 0xff at offset {len(good)} (line {text.count(chr(10)) + 1})" in caught.value.message


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_flag_to_try_is_named(size):
    data = 'id,text\n1,"温度が高い"\n'.encode("cp932")
    with pytest.raises(InvalidInputError) as caught:
        list(text_encoding.decoded(in_pieces(data, size), "utf-8", "in.csv"))
    assert "(line 2)" in caught.value.message
    if size == 1000:
        assert caught.value.hint == "Try --encoding cp932."


def test_an_encoding_that_is_none_is_refused():
    assert text_encoding.require_encoding("CP932") == "cp932"
    for name in ("klingon", "hex", "zip"):
        with pytest.raises(UsageError, match=name):
            text_encoding.require_encoding(name)


def read_csv(text: str, schema: Any, encoding: str = "utf-8") -> list[records.Record]:
    return list(records.csv_records([text.encode(encoding)], encoding, "in.csv", schema=schema))


def test_cells_get_the_types_that_the_schema_asks_for():
    text = (
        "speed_kmh,distance_to_car_m,lane_center_offset_m,weather,time_of_day,threshold,history\n"
        '80,,0,clear,day,,"[{""t_s"": 1, ""speed_kmh"": 80, ""distance_to_car_m"": 30}]"\n'
        "fast,12.5,-1,rain,night,0.5,\n"
    )
    first, second = (record.raw for record in read_csv(text, DRIVING))
    assert first == {
        "speed_kmh": 80, "distance_to_car_m": None, "lane_center_offset_m": 0, "weather": "clear", "time_of_day": "day",
        "history": [{"t_s": 1, "speed_kmh": 80, "distance_to_car_m": 30}],
    }  # fmt: skip
    assert isinstance(second, dict)
    assert (second["speed_kmh"], second["distance_to_car_m"], second["threshold"]) == ("fast", 12.5, 0.5)


def test_digits_stay_text_where_text_is_asked_for():
    (record,) = read_csv("product_id,severity\n00123,7\n", ROOTCAUSE)
    assert record.raw == {"product_id": "00123", "severity": 7}


def test_rows_keep_their_line_and_bad_ones_are_handed_on():
    text = '\ufeffspeed_kmh,weather\n1,"a\nb"\n2\n\n3,c\n'
    found = read_csv(text, DRIVING)
    assert [(record.number, record.id, bool(record.fault)) for record in found] == [
        (1, 2, False),
        (2, 4, True),
        (3, 6, False),
    ]


@pytest.mark.parametrize("text", ["", "a,a\n1,2\n", "a,\n1,2\n"])
def test_a_table_whose_columns_have_no_names_is_refused(text):
    with pytest.raises(InvalidInputError):
        read_csv(text, DRIVING)


def test_a_table_as_factories_have_it():
    (record,) = read_csv("product_id,location\r\nあ①,表示ソ\r\n", ROOTCAUSE, "cp932")
    assert record.raw == {"product_id": "あ①", "location": "表示ソ"}


@pytest.mark.parametrize(
    ("text", "count"), [('{"a": 1}\n{"a": 2}\n', 2), ('{\n "a": 1\n}\n', 1), ('[{"a": 1},\n {"a": 2}]', 2), ("", 0)]
)
def test_a_pipe_may_hold_lines_or_one_value(text, count):
    assert len(list(records.json_stream_records([text.encode()], "utf-8", "x"))) == count


def test_fields_by_hand_are_typed_and_win():
    fields = records.given_fields(["speed_kmh=12.5", "weather=snow"], DRIVING)
    assert fields == {"speed_kmh": 12.5, "weather": "snow"}
    (record,) = records.with_fields([records.Record(1, 1, {"weather": "clear", "x": 1})], fields)
    assert record.raw == {"weather": "snow", "speed_kmh": 12.5, "x": 1}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        records.given_fields(["speed_kmh"], DRIVING)


def test_null_by_hand_is_null_where_null_is_allowed_and_text_where_text_is():
    assert records.given_fields(["distance_to_car_m=null"], DRIVING) == {"distance_to_car_m": None}
    assert records.given_fields(["speed_kmh=null", "weather=null"], DRIVING) == {"speed_kmh": "null", "weather": "null"}
    schema = {"properties": {"note": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    assert records.given_fields(["note=null"], schema) == {"note": "null"}


def test_forms_follow_names_and_what_was_said():
    driving, translate = load("driving"), load("translate")
    assert [input_form(driving, name, None) for name in ("a.JSON", "a.jsonl", "a.csv", None)] == [
        "json", "jsonl", "csv", "jsonl",
    ]  # fmt: skip
    assert [input_form(translate, name, None) for name in ("a.md", "a.srt", "a.pot", "a.xlf", "a.txt", None)] == [
        "md", "srt", "po", "xliff", "text", "text",
    ]  # fmt: skip
    assert input_form(driving, "data", "csv") == "csv"
    with pytest.raises(UsageError, match="does not read md"):
        input_form(driving, "a.md", None)


def test_formats_follow_the_output_then_the_input():
    driving, rootcause = load("driving"), load("rootcause")
    assert output_format(driving, "csv", option=None, out=None, is_document=False) == "jsonl"
    assert output_format(driving, "json", option=None, out="a.csv", is_document=False) == "csv"
    assert output_format(rootcause, "json", option=None, out="a.html", is_document=False) == "html"
    with pytest.raises(UsageError, match="cannot write html"):
        output_format(driving, "json", option="html", out=None, is_document=False)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_value_of_a_line_stops_the_run(value):
    line = json.dumps(value) + "\n"
    assert len(list(records.json_line_records([line.encode()], "utf-8", "x"))) == 1
