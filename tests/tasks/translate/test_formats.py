"""Documents: what is cut out of each format, and that everything else comes back byte for byte."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.protocol.request import Wish
from edgechat.errors import InvalidInputError, UsageError
from edgechat.paths import Paths
from edgechat.tasks.batch.document import DocumentOptions, KeptText, TextUnit
from edgechat.tasks.batch.job import Job, run_job
from edgechat.tasks.registry import load
from edgechat.tasks.translate.formats import FORMS, pieces
from edgechat.tasks.translate.protect import protected_parts
from tests.tasks.scripted import ScriptedGenerator

SAMPLES = Path(__file__).parent / "samples"
FILES = {
    "md": "manual.md", "srt": "training.srt", "po": "app.po", "xliff": "panel.xlf", "csv": "alarms.csv",
    "jsonl": "tickets.jsonl", "text": "notice.txt", "vtt": "course.vtt", "properties": "menu.properties",
    "json-strings": "app.json", "android": "strings.xml", "strings": "Localizable.strings",
}  # fmt: skip


def read(form: str) -> str:
    return (SAMPLES / FILES[form]).read_bytes().decode("utf-8")


def cut(text: str, form: str, *columns: str) -> list[TextUnit]:
    """The units; that nothing was lost is checked on the way."""
    found = list(pieces(text, form, DocumentOptions(columns)))
    assert "".join(piece if isinstance(piece, str) else piece.raw for piece in found) == text
    return [piece for piece in found if isinstance(piece, TextUnit)]


def texts(form: str, *columns: str) -> list[str]:
    return [unit.text for unit in cut(read(form), form, *columns)]


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text('ab #`-|>\n\r"\\:<>&{}[]0123,;=漢.\ufeff', max_size=120))
def test_a_document_is_its_pieces_or_is_refused(form, text):
    try:
        cut(text, form)
    except InvalidInputError:
        assert form not in {"text", "md"}


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_a_damaged_document_still_loses_nothing(form, data):
    text = read(form)
    at, count = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
    try:
        cut(text[:at] + data.draw(st.sampled_from(["", "\n", '"', "<", "```\n", "|"])) + text[at + count :], form)
    except InvalidInputError:
        assert form not in {"text", "md"}


def test_markdown_gives_what_people_read_and_keeps_the_rest():
    found = texts("md")
    assert "Conveyor manual" in found
    assert "Stop the belt before you open the cover. The motor keeps turning for a while." in found
    assert "Check the emergency stop" in found
    assert "Temperature" in found
    whole = "\n".join(found)
    for hidden in ("apt install", "print(", "title:", "img src", "[spec]:", "indented code", "do not touch"):
        assert hidden not in whole


def test_subtitles_keep_numbers_and_timing():
    found = texts("srt")
    assert found[0] == "Welcome to the safety training for the packing line."
    assert "Is the guard closed?" in found
    assert not any("-->" in text for text in found)


def test_po_fills_what_is_empty():
    found = texts("po")
    assert found == ["Start", "Press %s to stop.\nThen wait.\n", "%d part", "%d parts", 'Say "yes"']


def test_xliff_fills_what_is_empty_and_escapes():
    units = cut(read("xliff"), "xliff")
    assert [unit.text for unit in units] == ['Press <g id="1">Start</g> &amp; wait', "Open the cover", "Ready"]
    new = units[0].write('<g id="1">開始</g>を押す &amp; A<B & "c"')
    assert '<target><g id="1">開始</g>を押す &amp; A&lt;B &amp; "c"</target>' in new


def test_tables_give_the_column_asked_for():
    assert texts("csv")[:2] == ['Motor "A" too hot, stop', "Belt\nslips"]
    assert texts("csv", "note") == ["see manual"]
    with pytest.raises(InvalidInputError, match="no column 'nothing'"):
        cut(read("csv"), "csv", "nothing")
    assert texts("jsonl") == ["The printer does not answer.", "Größe falsch"]


@pytest.mark.parametrize(
    ("form", "text"), [("srt", "Hello"), ("po", "Hello"), ("xliff", "<a/>"), ("jsonl", "[1]\n"), ("csv", 'text\n"a')]
)
def test_a_file_of_another_form_is_refused(form, text):
    with pytest.raises(InvalidInputError):
        cut(text, form)


class Shouting(ScriptedGenerator):
    """Answers with the text it was asked for, in capitals: a translation that a test can undo."""

    def generate(self, ask: Any, **options: Any) -> Any:
        text = ask.messages[-1].content
        kept = [part.text for part in protected_parts(text)]
        self.value = "".join(part if part in kept else part.upper() for part in _split(text, kept))
        return super().generate(ask, **options)


def _split(text: str, kept: list[str]) -> list[str]:
    pattern = "|".join(re.escape(part) for part in sorted(kept, key=len, reverse=True))
    return re.split(f"({pattern})", text) if kept else [text]


def translated(source: Path, out: Path, **options: Any) -> bytes:
    run_job(
        Job(
            source=str(source), out=out, keeps_answers=False, **{"fields": {"source": "de", "target": "en"}, **options}
        ),
        load("translate"),
        Paths.from_env(),
        Wish(),
        stdin=io.BytesIO(),
        stdout=io.BytesIO(),
        generator=Shouting,
    )
    return out.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_a_translated_document_differs_in_its_text_alone(form, tmp_path):
    source = SAMPLES / FILES[form]
    options = {"columns": ("text",)} if form == "jsonl" else {}
    data = translated(source, tmp_path / source.name, **options).decode("utf-8")
    # Between the translated places stands what stood there, to the last byte and with nothing added.
    outside = re.escape(
        "".join(piece if isinstance(piece, str) else "\0" for piece in pieces(read(form), form, DocumentOptions()))
    )
    assert re.fullmatch(outside.replace("\0", "(?s:.+?)"), data)
    assert data != read(form)
    assert len(cut(data, form)) == (0 if form in {"po", "xliff"} else len(cut(read(form), form)))


def test_translated_files_are_read_by_other_programs(tmp_path):
    def run(form: str, **options: Any) -> str:
        return translated(SAMPLES / FILES[form], tmp_path / FILES[form], **options).decode("utf-8")

    before, after = (list(csv.reader(io.StringIO(text, newline=""))) for text in (read("csv"), run("csv")))
    assert [[*row[:1], *row[2:]] for row in before] == [[*row[:1], *row[2:]] for row in after]
    assert after[1][1] == 'MOTOR "A" TOO HOT, STOP'
    root = ET.fromstring(run("xliff"))
    targets = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("target")]
    assert targets == ["PRESS START & WAIT", "OPEN THE COVER", "READY", "Zu"]
    lines = [json.loads(line) for line in run("jsonl", columns=("text",)).splitlines() if line]
    assert [line["text"] for line in lines] == ["THE PRINTER DOES NOT ANSWER.", "GRÖSSE FALSCH"]
    assert 'msgstr ""\n"PRESS %s TO STOP.\\n"\n"THEN WAIT.\\n"' in run("po")


def test_a_file_in_another_encoding_stays_in_it(tmp_path):
    source = tmp_path / "a.txt"
    source.write_bytes("温度が高い。\r\n弁①を閉じる。\r\n".encode("cp932"))
    out = translated(source, tmp_path / "b.txt", encoding="cp932", fields={"source": "ja", "target": "en"})
    assert out.decode("cp932").endswith("\r\n")
    marked = "\ufeffone two three\n".encode("utf-16")
    (tmp_path / "c.txt").write_bytes("one two three\n".encode("utf-16"))
    assert translated(tmp_path / "c.txt", tmp_path / "d.txt", encoding="utf-16")[:2] == marked[:2]


def test_a_document_asks_for_its_direction(tmp_path):
    with pytest.raises(UsageError, match="translate into"):
        translated(SAMPLES / "notice.txt", tmp_path / "x.txt", fields={})
    with pytest.raises(UsageError, match="English already"):
        translated(SAMPLES / "notice.txt", tmp_path / "x.txt", fields={"target": "en"})


TIMES = "00:00:01,000 --> 00:00:03,000\n"
PO_HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ASCII\\n"\n'
FILE = '\nmsgid "One file was removed."\nmsgid_plural "%d files were removed."\n'


@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        ("srt", f"1\n{TIMES}Close it.\n2\n{TIMES}Open it.\n", ["Close it.", "Open it."]),
        ("srt", f"1\n{TIMES}The pump stops.\n\nCheck it.\n\n2\n{TIMES}Go.\n", ["The pump stops.", "Check it.", "Go."]),
        ("md", "> [!NOTE]\n> Keep clear.\n", ["Keep clear."]),
        ("md", "> [!tip]- Good to know\n> Keep clear.\n", ["Good to know", "Keep clear."]),
        ("md", "Term one\nTerm two\n: Meaning\n", ["Term one", "Term two", "Meaning"]),
        ("md", '!!! note "Careful"\n    Keep clear.\n', ["Careful", "Keep clear."]),
        ("md", "See [the guide].\n\n[The Guide]: /a\n", ["See [the guide][the guide]."]),
        ("md", "See [the guide] and [else].\n", ["See [the guide] and [else]."]),
        ("po", f'{PO_HEAD}{FILE}msgstr[0] ""\n', ["%d files were removed."]),
        ("po", f'{PO_HEAD}{FILE}msgstr[0] ""\nmsgstr[1] ""\n', ["One file was removed.", "%d files were removed."]),
        ("csv", 'text\n"{n, plural, one {# file} other {# files}}"\n', ["{#} file", "{#} files"]),
        ("csv", 'text\n"You have {n, plural, one {# file} other {# files}}"\n', []),
        (
            "json-strings",
            '{"@@locale": "en", "a": ["b", {"c": "d", "n": 1}], "u": "é \\ud83d\\ude00"}',
            ["b", "d", "é 😀"],
        ),
        ("properties", "a = b\\\n   c\n!x\nk\\ l:m\\u00e9\n", ["bc", "mé"]),
        ("vtt", "WEBVTT\n\nNOTE a\n\n00:01.000 --> 00:02.000\n<v Ann>Hello</v>\n", ["Hello"]),
    ],
)
def test_what_is_cut_out(form, text, found):
    assert [unit.text for unit in cut(text, form)] == found


def test_a_message_that_stays_says_why():
    text = 'text\n"You have {n, plural, one {# file} other {# files}}"\n'
    (kept,) = [piece for piece in pieces(text, "csv", DocumentOptions()) if isinstance(piece, KeptText)]
    assert "whole sentence" in kept.reason


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        (
            "a.po",
            f'{PO_HEAD}\nmsgid "Öl prüfen"\nmsgstr ""\n',
            'charset=UTF-8\\n"\n\nmsgid "Öl prüfen"\nmsgstr "ÖL PRÜFEN"\n',
        ),
        ("a.srt", f"1\n{TIMES}Die Pumpe\\Nsteht still.\n", "DIE PUMPE\\NSTEHT STILL.\n"),
        ("a.properties", "a=Pumpe pr\\u00fcfen\n", "a=PUMPE PR\\u00DCFEN\n"),
        ("a.properties", "a={0} geht''s\n", "a={0} GEHT''S\n"),
    ],
)
def test_what_is_written(name, text, written, tmp_path):
    source = tmp_path / name
    source.write_text(text, encoding="utf-8")
    assert translated(source, tmp_path / f"out-{name}").decode().endswith(written)


def test_a_declaration_follows_the_encoding(tmp_path):
    source = tmp_path / "a.xlf"
    body = "<xliff><file><body><trans-unit id='1'><source>Schließen</source></trans-unit></body></file></xliff>"
    source.write_bytes(f'<?xml version="1.0" encoding="ISO-8859-1"?>\n{body}'.encode("latin-1"))
    data = translated(source, tmp_path / "b.xlf")
    assert [node.text for node in ET.fromstring(data).iter("target")] == ["SCHLIESSEN"]
    assert b"ISO-8859-1" in data
