"""``edgechat run`` on files that people bring: what it refuses, recognises, reports and never overwrites."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from edgechat.cli.run import run as run_command
from edgechat.engine.protocol.request import Wish
from edgechat.errors import EdgechatError, InvalidInputError, UsageError
from edgechat.paths import Paths
from edgechat.tasks.batch.job import Job, JobCallbacks, JobReport, run_job
from edgechat.tasks.registry import load
from tests.cli.test_run import run as run_process
from tests.tasks.scripted import ScriptedGenerator

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

SCENE = {
    "speed_kmh": 72.5,
    "distance_to_car_m": 24.0,
    "lane_center_offset_m": 0.1,
    "weather": "rain",
    "time_of_day": "night",
}
EN = {"source": "en", "target": "ja"}


def run(*arguments: object, stdin: bytes = b"", code: int = 0) -> Any:
    """The command in this process; standard error holds the error too."""
    done = CliRunner().invoke(run_command, [str(each) for each in arguments], input=stdin)
    error = done.exception
    assert error is None or isinstance(error, (EdgechatError, SystemExit)), error
    assert (int(error.exit_code) if isinstance(error, EdgechatError) else done.exit_code) == code, done.output
    return SimpleNamespace(stdout=done.stdout, stderr=f"{done.stderr}{error or ''}")


class Translating(ScriptedGenerator):
    """Answers every question with the same Japanese sentence, or with English when it is asked for ``bad``."""

    def generate(self, ask: Any, **options: Any) -> Any:
        text = ask.messages[-1].content
        self.value = "This is still English text here." if "bad" in text else "弁を閉じてください。"
        return super().generate(ask, **options)


def translate(
    source: Path, out: Path | None = None, *, task: str = "translate", **options: Any
) -> tuple[JobReport, bytes, list[str]]:
    """The report, what was written, and the notes; no engine is started."""
    notes: list[str] = []
    stdout = io.BytesIO()
    report = run_job(
        Job(source=str(source), out=out, **{"fields": EN, "keeps_answers": False, **options}),
        load(task),
        Paths.from_env(),
        Wish(),
        stdin=io.BytesIO(),
        stdout=stdout,
        callbacks=JobCallbacks(note=notes.append),
        generator=Translating,
    )
    return report, out.read_bytes() if out else stdout.getvalue(), notes


def test_no_output_overwrites_an_input(tmp_path, monkeypatch):
    source = tmp_path / "a.md"
    source.write_text("# Stop\n")
    glossary = tmp_path / "terms.csv"
    glossary.write_text("valve,弁\n")
    (tmp_path / "link.md").symlink_to(source)
    os.link(source, tmp_path / "hard.md")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    same: list[object] = [source, "a.md", "./deep/../a.md", "link.md", "hard.md"]
    for out in same:
        done = run("translate", source, "--field", "target=ja", "--out", out, code=2)
        assert "would overwrite the input" in done.stderr
        assert (
            "would overwrite the input" in run("translate", source, "--field=target=ja", "--report", out, code=2).stderr
        )
    done = run("translate", source, "--field=target=ja", "--glossary", glossary, "--out", glossary, code=2)
    assert "would overwrite the input" in done.stderr
    done = run("translate", source, "--field=target=ja", "--out", "x.md", "--report", "x.md", code=2)
    assert "Two outputs" in done.stderr
    # Files that exist only while the run goes on would overwrite an input as well.
    journal = tmp_path / "b.jsonl.journal"
    journal.write_text(json.dumps(SCENE) + "\n")
    assert "would overwrite" in run("driving", journal, "--from", "jsonl", "--out", "b.jsonl", code=2).stderr
    assert source.read_text() == "# Stop\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "a.md", "b.jsonl.journal", "deep", "hard.md", "link.md", "terms.csv",
    ]  # fmt: skip


def test_a_kind_of_file_that_is_not_known_is_refused_with_those_that_are(tmp_path):
    for name in ("a.yaml", "a.rst", "a.stringsdict", ".env", "a.docx"):
        (tmp_path / name).write_text("menu: Close the valve\n")
        said = run("translate", tmp_path / name, "--field=target=ja", code=2).stderr
        assert "does not read" in said
        assert ".properties" in said
        assert "--from text" in said
    _, data, _ = translate(tmp_path / "a.yaml", form="text")
    assert "弁" in data.decode()
    (tmp_path / "notes").write_text("Close the valve.\n")
    assert translate(tmp_path / "notes")[1].decode() == "弁を閉じてください。\n"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp932", "温度が高いので、ポンプを止めてください。\r\n弁①を閉じる。\r\n"),
        ("euc_jp", "温度が高いので、ポンプを止めてください。\n"),
        ("gb18030", "请关闭阀门。然后打开排水口。泵停止后,请检查保险丝。\n"),
        ("cp1252", "Größe prüfen\nDas Ventil schließen und sofort.\n"),
        ("cp1252", "Fermez la vanne du café"),  # ends with what could begin a character of UTF-8
        ("cp1250", "Zamknij zawór. Następnie otwórz spust.\n"),
        ("cp1251", "Закройте клапан. Затем откройте слив.\n"),
        ("utf-16", "Größe prüfen\n"),
        ("utf-16-le", "Größe prüfen\n"),
        ("utf-8-sig", "Größe prüfen\n"),
        ("iso2022_jp", "温度が高いので、ポンプを止めてください。\n"),
    ],
)
def test_an_encoding_is_recognised_told_and_kept(tmp_path, encoding, text):
    source = tmp_path / "a.txt"
    source.write_bytes(text.encode(encoding))
    _, data, notes = translate(source, fields={"source": "de", "target": "en"})
    assert ("" if encoding == "utf-8-sig" else "another encoding: --encoding") in "".join(notes)
    assert bool(notes) == (encoding != "utf-8-sig")
    # What the scripted model says cannot be written in most of these, so the text stands as it was.
    assert data.decode(encoding)


def test_an_encoding_that_the_content_does_not_tell_is_asked_for(tmp_path):
    source = tmp_path / "in.csv"
    source.write_bytes("product_id,location\n1,接合部\n".encode("cp932"))
    with pytest.raises(InvalidInputError, match="line 2"):
        translate(source, columns=("location",))


@pytest.mark.parametrize(
    "table",
    [
        "\ufeffspeed_kmh;distance_to_car_m;lane_center_offset_m;weather;time_of_day\n72,5;24,0;0,1;rain;night\n",
        "speed_kmh\tdistance_to_car_m\tlane_center_offset_m\tweather\ttime_of_day\n72.5\t24,0\t0,1\train\tnight\n",
        "sep=;\r\nspeed_kmh;distance_to_car_m;lane_center_offset_m;weather;time_of_day\r\n72.5;24;0,1;rain;night\r\n",
        "speed_kmh,distance_to_car_m,lane_center_offset_m,weather,time_of_day\n72.5,24,0.1,rain,night\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_european_spreadsheets_are_read(tmp_path, table, encoding):
    source = tmp_path / "in.csv"
    source.write_bytes(table.encode(encoding))
    _, data, notes = translate(source, task="driving", fields={}, format="jsonl")
    one = tmp_path / "one.json"
    one.write_text(json.dumps(SCENE))
    expected = json.loads(translate(one, task="driving", fields={})[1])["result"]
    assert json.loads(data)["result"] == expected
    assert any("separated by" in note for note in notes) == (not table.startswith("speed_kmh,"))


def test_a_separator_can_be_named(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("speed_kmh:distance_to_car_m:lane_center_offset_m:weather:time_of_day\n72,5:24:0:rain:night\n")
    _, data, _ = translate(source, task="driving", fields={}, delimiter=":", format="jsonl")
    assert json.loads(data)["status"] == "ok"
    assert "not one character" in run("driving", source, "--delimiter", "::", code=2).stderr
    (tmp_path / "a.jsonl").write_text("{}\n")
    assert (
        "--delimiter does not go with jsonl" in run("driving", tmp_path / "a.jsonl", "--delimiter", ";", code=2).stderr
    )


def test_semicolons_stay_in_a_translated_table(tmp_path):
    source = tmp_path / "semi.csv"
    source.write_text('\ufeffid;text;note\n1;Close the valve.;"a;b"\n', encoding="utf-8")
    _, data, _ = translate(source, tmp_path / "out.csv", columns=("text",))
    assert data.decode() == '\ufeffid;text;note\n1;弁を閉じてください。;"a;b"\n'


def test_glossaries_in_other_encodings_and_with_other_separators(tmp_path):
    from edgechat.cli.run import _glossary
    from edgechat.tasks.translate.glossary import read_glossary

    for text in (
        "valve;弁\npump, small;小型ポンプ\n",
        "source;target\nvalve;弁\npump, small;小型ポンプ\n",
        "sep=;\nvalve;弁\npump, small;小型ポンプ\n",
        "valve\t弁\npump, small\t小型ポンプ\n",
    ):
        assert [term.source for term in read_glossary(text, "g")] == ["valve", "pump, small"]
        for encoding in ("utf-16", "cp932", "utf-8-sig"):
            path = tmp_path / "g.csv"
            path.write_bytes((text * 1).encode(encoding))
            assert _glossary(path, "cp932")[0] == {"source": "valve", "target": "弁"}


def test_a_key_that_stands_twice_is_named(tmp_path):
    record = '{"speed_kmh": 20, "speed_kmh": 120, "distance_to_car_m": 20}'
    assert "has the key 'speed_kmh' twice" in run("driving", record, code=4).stderr
    source = tmp_path / "a.json"
    source.write_text(record)
    assert "has the key 'speed_kmh' twice" in run("driving", source, code=4).stderr
    lines = run("driving", "-", "--from", "jsonl", stdin=record.encode() + b"\n", code=5).stdout
    assert "has the key 'speed_kmh' twice" in json.loads(lines)["errors"][0]["message"]
    nested = '{"speed_kmh": 20, "history": [{"t_s": 1, "t_s": 2}]}'
    assert "has the key 't_s' twice" in run("driving", nested, code=4).stderr
    followed = run_process("driving", "--follow", stdin=record.encode() + b"\n", code=5).stdout
    assert "has the key 'speed_kmh' twice" in followed


def test_a_wrong_field_is_told_once_with_what_was_meant(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "Close."}\n' * 10)
    assert "did you mean target?" in run("translate", source, "--field", "targt=ja", code=2).stderr
    said = run("translate", source, "--field", "target=xx", code=2).stderr
    assert said.count("There is no language 'xx'") == 1
    assert "did you mean speed_kmh?" in run("driving", "--field", "sped_kmh=3", code=2).stderr


def test_many_records_make_one_page(tmp_path):
    source = tmp_path / "defects.jsonl"
    record = {"product_id": "P", "defect_type": "void", "location": "l", "severity": "low", "confidence": 0.2,
              "process_notes": [], "log_lines": []}  # fmt: skip
    source.write_text("".join(json.dumps({**record, "id": f"d{i}", "product_id": f"P{i}"}) + "\n" for i in range(5)))
    _, data, _ = translate(source, tmp_path / "all.html", task="rootcause", fields={})
    text = data.decode()

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.append(tag)

    reader = Reader()
    reader.feed(text)
    assert [reader.tags.count(tag) for tag in ("html", "head", "body", "h1")] == [1, 1, 1, 5]
    assert [text.count(tag) for tag in ("</body>", "</html>", "break-before: page")] == [1, 1, 4]
    assert all(f"P{i}" in text for i in range(5))


def test_a_stream_is_written_as_text_when_asked():
    # A record that is not valid asks no model.
    done = run_process("driving", "--follow", "--format", "text", stdin=b'{"speed_kmh": -1}\n', code=5)
    assert "speed_kmh" in done.stdout
    assert "{" not in done.stdout
    assert "cannot write html" in run("rootcause", "--follow", "--format", "html", code=2).stderr


def test_a_run_that_ends_before_its_first_record_leaves_no_journal(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": "Close.", **EN}) + "\n")

    class Stopping(ScriptedGenerator):
        def generate(self, ask: Any, **options: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(
            Job(source=str(source), out=out, keeps_answers=False), load("translate"), Paths.from_env(), Wish(),
            stdin=io.BytesIO(), stdout=io.BytesIO(), generator=Stopping,
        )  # fmt: skip
    assert [each.name for each in tmp_path.iterdir()] == ["in.jsonl"]


def test_an_interrupt_while_the_first_record_is_written_keeps_it(tmp_path, monkeypatch):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(SCENE) + "\n")
    journal = out.with_name("out.jsonl.journal")

    def interrupted(_handle: int) -> None:
        if journal.read_bytes().count(b"\n") > 1:  # the header, and the record that is not counted yet
            raise KeyboardInterrupt

    job = Job(source=str(source), out=out, keeps_answers=False)
    common: dict[str, Any] = {"stdin": io.BytesIO(), "stdout": io.BytesIO(), "generator": ScriptedGenerator}
    with monkeypatch.context() as patched:
        patched.setattr("edgechat.tasks.batch.journal.os.fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_job(job, load("driving"), Paths.from_env(), Wish(), **common)
    assert journal.exists()
    notes: list[str] = []
    callbacks = JobCallbacks(note=notes.append)
    run_job(replace(job, resume=True), load("driving"), Paths.from_env(), Wish(), callbacks=callbacks, **common)
    assert "1 records are done" in notes[0]
    assert json.loads(out.read_text())["status"] == "ok"


def test_a_journal_without_a_record_asks_for_no_resume(tmp_path):
    from edgechat.tasks.batch.journal import BatchJournal

    path = tmp_path / "a.journal"
    BatchJournal(path, {"task": "a"}, resume=False).close()  # killed here
    journal = BatchJournal(path, {"task": "b"}, resume=False)
    journal.append([(1, {"a": 1})])
    journal.close()
    with pytest.raises(UsageError, match="interrupted"):
        BatchJournal(path, {"task": "b"}, resume=False)


def test_what_was_not_translated_is_named_and_ends_in_5(tmp_path):
    source = tmp_path / "a.md"
    source.write_text(
        "# Close the valve\n\nThis is a bad sentence of some length.\n\nOpen it. This one is bad too, my friend.\n"
    )
    report, data, _ = translate(source, report=tmp_path / "report.json")
    text = data.decode()
    assert "This is a bad sentence of some length." in text
    assert (report.run.incomplete, report.run.counts) == (2, {"done": 1, "kept": 1, "partly": 1})
    assert [line.split(":")[0] for line in report.run.told] == ["Line 3", "Line 5"]
    written = json.loads((tmp_path / "report.json").read_text())
    assert (written["input"], written["format"], written["counts"]) == (str(source), "md", report.run.counts)
    assert [(unit["line"], unit["outcome"]) for unit in written["units"]] == [(1, "done"), (3, "kept"), (5, "partly")]
    assert written["units"][0]["target"] == "弁を閉じてください。"
    assert written["units"][2]["segments"][0]["flags"]


def test_the_command_names_the_places_and_fails(tmp_path, monkeypatch, capsys):
    from edgechat.cli import run as module

    source = tmp_path / "a.srt"
    source.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nThis bad cue stays English.\n\n2\n00:00:03,000 --> 00:00:04,000\nClose it.\n"
    )
    report, _, _ = translate(source)
    with pytest.raises(EdgechatError, match="1 of 2 texts are not done") as error:
        module._report(report)
    assert error.value.exit_code == 5
    assert "Line 3 (cue 1): not done" in capsys.readouterr().err


def test_a_record_with_a_kept_sentence_is_not_ok_for_scripts(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"id": "r1", "text": "Close it. This one is bad too, my friend.", **EN}) + "\n")
    report, data, _ = translate(source, fields={})
    assert json.loads(data)["status"] == "ok"
    assert (report.run.incomplete, report.tally.not_ok) == (1, 0)
    assert report.run.told[0].startswith("Line 1 (r1): only in part")


def test_nothing_to_do_is_told_and_asks_no_model(tmp_path):
    source = tmp_path / "a.po"
    source.write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Stop"\nmsgstr "停止"\n')
    done = run("translate", source, "--field=target=ja")
    assert "has nothing to do: every text has a translation" in done.stderr
    assert done.stdout.encode() == source.read_bytes()
    for name, text in {"a.md": "---\n\n```\nx\n```\n", "a.srt": "", "a.properties": "# x\n", "a.txt": "12\n\n"}.items():
        (tmp_path / name).write_text(text)
        done = run("translate", tmp_path / name, "--field=target=ja")
        if name != "a.txt":
            assert "has nothing to do" in done.stderr
        assert done.stdout == text


def test_a_file_of_messages_is_no_record_and_a_record_is_no_file_of_messages(tmp_path):
    source = tmp_path / "en.json"
    source.write_text('{"menu": {"close": "Close the valve."}, "n": 3}\n')
    _, data, notes = translate(source, tmp_path / "ja.json")
    assert json.loads(data) == {"menu": {"close": "弁を閉じてください。"}, "n": 3}
    assert "--from json" in notes[0]
    source.write_text('{"text": "Close the valve."}')
    assert json.loads(translate(source)[1])["result"]["translation"] == "弁を閉じてください。"
    source.write_text('{"target": "Close the valve.", "close": "Close it."}')
    assert json.loads(translate(source, fields={"source": "en"})[1])["status"] == "invalid_input"
    _, data, _ = translate(source, form="json-strings")
    assert json.loads(data) == {"target": "弁を閉じてください。", "close": "弁を閉じてください。"}


def test_a_text_that_would_break_the_document_is_not_written(tmp_path):
    class Breaking(ScriptedGenerator):
        def generate(self, ask: Any, **options: Any) -> Any:
            text = ask.messages[-1].content
            self.value = "弁を<b>閉じてください。" if "valve" in text else "排水口を開けてください。"
            return super().generate(ask, **options)

    source = tmp_path / "a.md"
    source.write_text("Close the valve.\n\nOpen the drain.\n")
    stdout = io.BytesIO()
    report = run_job(
        Job(source=str(source), fields=EN, keeps_answers=False), load("translate"), Paths.from_env(), Wish(),
        stdin=io.BytesIO(), stdout=stdout, generator=Breaking,
    )  # fmt: skip
    assert stdout.getvalue().decode() == "Close the valve.\n\n排水口を開けてください。\n"
    (told,) = report.run.told
    assert told.startswith("Line 1: not done: ")


def test_history_is_not_exported_over_itself():
    paths = Paths.from_env()
    code = [sys.executable, "-m", "edgechat", "history"]
    record = '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]'
    subprocess.run([*code, "import", "-"], input=record.encode(), check=True, capture_output=True)
    database = paths.data / "chat" / "history.db"
    before = database.read_bytes()
    done = subprocess.run([*code, "export", "--out", str(database)], capture_output=True, check=False)
    assert (done.returncode, database.read_bytes()) == (2, before)


def test_options_are_in_the_help():
    text = CliRunner().invoke(run_command, ["--help"]).output
    assert all(option in text for option in ("--report", "--delimiter", "--encoding"))
