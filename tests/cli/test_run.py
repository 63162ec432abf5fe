"""``edgechat run`` as people and scripts call it, in processes of its own; some on the real starter model."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from edgechat import Assistant, AsyncAssistant
from edgechat.cli.output.batch_progress import progress_line
from edgechat.engine.client import client
from edgechat.errors import AnswerError, DeadlineError, UsageError
from edgechat.paths import Paths
from edgechat.tasks.contract import published_schema
from edgechat.tasks.registry import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCENE = {"distance_to_car_m": 45.0, "lane_center_offset_m": 0.2, "weather": "rain", "time_of_day": "day"}
FIELDS = [f"--field={name}={value}" for name, value in {"speed_kmh": 100, **SCENE}.items()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgechat", "run", *arguments]


def run(*arguments: object, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*map(str, arguments)), input=stdin, capture_output=True, timeout=100, check=False)
    text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert text.returncode == code, text.stderr
    return text


@pytest.fixture
def engine() -> Iterator[Paths]:
    """Stops the engine that the test started."""
    paths = Paths.from_env(os.environ)
    yield paths
    client.stop(paths)


def scenes(path: Path, count: int) -> Path:
    lines = [json.dumps({"id": f"s{i}", "speed_kmh": 40.0 + i / 20, **SCENE}) for i in range(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.engine
def test_a_file_of_records_a_table_and_one_record_on_the_real_model(engine, tmp_path):
    schema = Draft202012Validator(published_schema(load("driving"), "output"))
    source = scenes(tmp_path / "in.jsonl", 5)
    done = run("driving", source, "--parallel", 4)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["id"] for result in results] == [f"s{i}" for i in range(5)]
    for result in results:
        schema.validate(result["result"])
        assert (result["model"], result["result"]["explanation_status"]) == (None, "rules_only")
    # The same inputs again are not asked again, and say so in their time.
    run("driving", source, "--parallel", 4, "--out", tmp_path / "out.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [row["explanation"] for row in rows] == [result["result"]["explanation"] or "" for result in results]
    one = json.loads(run("driving", *FIELDS).stdout)
    assert (one["id"], one["result"]["risk"]) == (1, 0.75)


@pytest.mark.engine
def test_a_text_and_a_document_through_the_real_model(engine, tmp_path):
    source = tmp_path / "a.md"
    source.write_text("# Stop\n\n```\ncode = 1\n```\n\nPress {button} at https://example.com now.\n")
    # The starter knows English only: what it cannot do is named and ends in 5.
    done = run("translate", source, "--field", "target=fr", "--out", tmp_path / "b.md", code=5)
    text = (tmp_path / "b.md").read_text()
    assert "\n```\ncode = 1\n```\n" in text
    assert "{button}" in text or "Flags" in done.stderr
    result = json.loads(run("translate", "-", "--field=target=fr", "--format=json", stdin=b"Good morning.").stdout)
    Draft202012Validator(published_schema(load("translate"), "output")).validate(result["result"])


@pytest.mark.engine
def test_a_deadline_frees_the_slot(engine, tmp_path):
    text = "Open the cover and look at the belt. " * 300
    record = json.dumps({"text": text, "source": "en", "target": "fr"})
    run("translate", "--field", "text=Hi there", "--field", "source=en", "--field", "target=fr", "--timeout", 60)
    began = time.monotonic()
    late = run("translate", record, "--timeout", 3, "--no-cache", code=5)
    assert json.loads(late.stdout)["status"] == "truncated"
    assert time.monotonic() - began < 20
    (status,) = client.status(engine)
    assert status["clients"] == 0


@pytest.mark.engine
def test_a_live_stream_asks_no_model_that_is_too_small(engine):
    child = subprocess.Popen(
        command("driving", "--follow"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps({"id": "a", "speed_kmh": 100.0, **SCENE}).encode() + b"\n")
    child.stdin.flush()
    line = json.loads(child.stdout.readline())
    assert (line["id"], line["result"]["alert"], line["final"], line["status"]) == ("a", True, True, "ok")
    # The starter is too small to be asked, from the first record on.
    assert line["result"]["explanation_status"] == "rules_only"
    rest, said = child.communicate(timeout=20)
    assert (child.returncode, rest) == (0, b"")
    assert b"1 lines, 0 answered by the model, 0 dropped" in said


@pytest.mark.engine
def test_a_live_stream_through_the_real_model(engine):
    child = subprocess.Popen(
        command("translate", "--follow", "--field", "target=de"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    rest, said = child.communicate(json.dumps({"id": "a", "text": "Open the valve."}).encode() + b"\n", timeout=60)
    lines = [json.loads(each) for each in rest.splitlines()]
    assert lines[-1]["timing"]["decode_s"] > 0
    assert {each["id"] for each in lines} == {"a"}
    assert child.returncode in {0, 5}, said
    assert b"1 lines, 1 answered by the model, 0 dropped" in said


COUNT = 3000
"""Records that rules need some seconds for: long enough to be interrupted."""


@pytest.mark.engine
def test_interrupted_it_can_be_resumed(engine, tmp_path):
    source, out = scenes(tmp_path / "in.jsonl", COUNT), tmp_path / "out.jsonl"
    child = subprocess.Popen(command("driving", str(source), "--out", str(out)), stderr=subprocess.PIPE)
    journal = tmp_path / "out.jsonl.journal"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 130
    assert b"--resume" in said
    assert not out.exists()
    assert "--resume" in run("driving", source, "--out", out, code=2).stderr
    done = run("driving", source, "--out", out, "--resume")
    assert "Resuming:" in done.stderr
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [f"s{i}" for i in range(COUNT)]
    assert not journal.exists()


@pytest.mark.engine
def test_python_gets_the_same(engine):
    import pydantic

    class Colour(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=20)
        shade: int = pydantic.Field(ge=0, le=9)

    with Assistant.open() as assistant:
        answer = assistant.ask("Name one colour.", max_tokens=5, temperature=0)
        assert (answer.finish_reason, answer.model) == ("length", "smollm2-135m-instruct")
        assert isinstance(assistant.generate("A colour and a digit.", schema=Colour, max_tokens=60), Colour)
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
        assert set(assistant.generate("Is it?", schema={**schema, "additionalProperties": False})) == {"ok"}
        with pytest.raises(AnswerError):
            assistant.generate("A colour.", schema=Colour, max_tokens=3)
        assert assistant.run("driving", {"speed_kmh": 100.0, **SCENE}).result is not None
        with pytest.raises(DeadlineError):
            assistant.ask("Tell a very long story.", max_tokens=1500, timeout=0.5, temperature=0)
        assert assistant.ask("Hi", max_tokens=2).text
        with pytest.raises(UsageError, match="There is no task"):
            assistant.run("drivin", {})
    with pytest.raises(UsageError, match="closed"):
        assistant.ask("Hi")


@pytest.mark.engine
def test_an_awaited_call_that_is_cancelled_frees_its_slot(engine):
    import asyncio

    async def talk() -> list[str]:
        async with AsyncAssistant.open(parallel=1) as assistant:
            long = asyncio.create_task(assistant.ask("Tell a story.", max_tokens=1500, temperature=0))
            await asyncio.sleep(0.5)
            long.cancel()
            with pytest.raises(asyncio.CancelledError):
                await long
            kinds = []
            async for event in assistant.stream("Say hello.", max_tokens=40):
                kinds.append(type(event).__name__)
                if kinds.count("Text") == 3:
                    break
            # One slot: this waits for ever unless both gave it back.
            answer = await assistant.ask("Hi", max_tokens=2, timeout=20)
            return [*kinds, answer.finish_reason]

    assert asyncio.run(talk())[-1] in {"stop", "length"}


@pytest.mark.process
def test_a_factory_file_in_the_wrong_encoding_is_refused_with_the_flag_to_try(tmp_path):
    source = tmp_path / "in.csv"
    source.write_bytes("product_id,location\n1,接合部\n".encode("cp932"))
    said = run("rootcause", source, code=4).stderr
    assert "line 2" in said
    assert "--encoding cp932" in said


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["drivin"], 2, "Did you mean driving?"),
        (["llama3.2:3b"], 2, "edgechat models pull llama-3.2-3b-instruct"),
        (["smollm2-135m-instruct"], 2, "edgechat ask -m smollm2-135m-instruct"),
        (["driving", "nowhere.jsonl"], 4, "There is no file nowhere.jsonl"),
        (["driving", "{"], 4, "is not JSON"),
        (["driving", "-", "--resume"], 2, "--out"),
        (["driving", "--strict", "-"], 2, "translate"),
        (["driving", "-", "--encoding", "klingon"], 2, "klingon"),
        (["driving", "a.jsonl", "--follow"], 2, "standard input"),
        (["rootcause", "-", "--format", "pdf"], 2, "cannot write pdf"),
        (["driving", "--field", "speed", "-"], 2, "NAME=VALUE"),
        (["driving", "a.jsonl", "--column", "speed_kmh"], 2, "--column does not go with task driving and jsonl"),
        (["translate", "a.jsonl", "--from", "srt", "--field", "target=ja", "--column", "text"], 2, "--column"),
        (["driving", "a.jsonl", "--out", "."], 2, ". is not a file"),
        (["driving", "a.jsonl", "--out", ".."], 2, ".. is not a file"),
    ],
)
def test_what_cannot_be_run_says_what_to_do(tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("{}\n")
    done = run(*arguments, code=code)
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("form", ["csv", "jsonl", "text", "json"])
def test_an_id_that_no_utf_8_can_hold_costs_nothing_but_its_spelling(tmp_path, form):
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text('{"id": "a\\ud800", "speed_kmh": -1}\n')
    done = run("driving", source, "--format", form, code=5)
    run("driving", source, "--format", form, "--out", out, code=5)
    assert "invalid_input" in done.stdout + done.stderr
    assert len(out.read_text().splitlines()) == len(done.stdout.splitlines())


@pytest.mark.process
def test_an_output_that_is_no_file_is_left_alone_and_a_link_stays_one(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"speed_kmh": -1}\n')
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is not a file" in run("driving", source, "--out", pipe, code=2).stderr
    assert pipe.is_fifo()
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "real.jsonl")
    run("driving", source, "--out", link, code=5)
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.jsonl").read_text())["status"] == "invalid_input"


@pytest.mark.process
def test_help_names_the_tasks():
    done = run("--help")
    assert all(name in done.stdout for name in ("driving", "rootcause", "translate"))


@pytest.mark.process
def test_records_that_are_not_ok_end_in_5_and_are_counted(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"speed_kmh": -1}\nnot json\n')
    done = run("driving", source, code=5)
    assert "2 of 2 records are not ok: 2 invalid_input" in done.stderr
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["invalid_input"] * 2


@pytest.mark.process
def test_a_name_and_its_package_stay_light():
    code = "import sys, edgechat; print([m for m in sys.modules if m.startswith('edgechat.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['edgechat.version']"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ((0, None, 0.0, 0), "0 records"),
        ((812, 2000, 3.1, 2), "812 of 2,000 records, 3.1/s, 6 min 23 s left, 2 not ok"),
        ((5, 5000, 0.05, 0), "5 of 5,000 records, 3.0/min, 27 h 45 min left"),
        ((12, 10, 2.0, 0), "12 records, 2.0/s"),
    ],
)
def test_progress_is_told_in_one_line(facts: Any, line: str):
    assert progress_line(*facts) == line
