"""A batch of records: order, what counts as done after a kill, equal inputs, memory. The model is a script."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgechat.engine.protocol.request import Wish
from edgechat.errors import EngineError, InvalidInputError, NoModelError, StateError, UsageError
from edgechat.paths import Paths
from edgechat.tasks.batch.batch_run import BatchRun
from edgechat.tasks.batch.job import Job, JobCallbacks, _variant, run_job
from edgechat.tasks.batch.journal import BatchJournal
from edgechat.tasks.batch.records import Record
from edgechat.tasks.registry import load
from tests.tasks.scripted import ScriptedGenerator

ROOT = Path(__file__).resolve().parents[3]
SCENE = {"distance_to_car_m": 45.0, "lane_center_offset_m": 0.2, "weather": "rain", "time_of_day": "day"}
SAID = {"sentence": "The vehicle is 0.2 m right of the lane centre in rain."}


def scenes(count: int) -> list[dict[str, Any]]:
    return [{"speed_kmh": 50.0 + i / 100, **SCENE} for i in range(count)]


def write_lines(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def run(source: Path, out: Path | None = None, *, generator: Any = None, **options: Any) -> tuple[Any, list[Any]]:
    """The report and the results, through the same function as the command."""
    stdout = io.BytesIO()
    answer = generator or ScriptedGenerator(SAID)
    report = run_job(
        Job(source=str(source), out=out, **{"keeps_answers": False, **options}),
        load("driving"),
        Paths.from_env(),
        Wish(),
        stdin=io.BytesIO(),
        stdout=stdout,
        generator=lambda: answer,
    )
    text = out.read_text(encoding="utf-8") if out else stdout.getvalue().decode()
    return report, [json.loads(line) for line in text.splitlines()]


class Jittery(ScriptedGenerator):
    """Takes a little time, longer for some, so that answers overtake each other."""

    def generate(self, ask: Any, **options: Any) -> Any:
        time.sleep(random.Random(ask.messages[-1].content).random() / 100)
        return super().generate(ask, **options)


@pytest.mark.parametrize("parallel", [1, 8])
def test_results_keep_the_order_of_the_input(tmp_path, parallel):
    source = write_lines(tmp_path / "in.jsonl", [{"id": f"r{i}", **scene} for i, scene in enumerate(scenes(150))])
    report, results = run(source, generator=Jittery(SAID), parallel=parallel)
    assert [result["id"] for result in results] == [f"r{i}" for i in range(150)]
    assert report.tally.by_status == {"ok": 150}


def test_a_record_without_id_is_called_after_its_line(tmp_path):
    source = tmp_path / "in.jsonl"
    first, second = (json.dumps(scene) for scene in scenes(2))
    source.write_text(f"\n{first}\n\n{second}\n")
    assert [result["id"] for result in run(source)[1]] == [2, 4]


def test_a_bad_line_costs_only_itself(tmp_path):
    source = tmp_path / "in.jsonl"
    good = json.dumps(scenes(1)[0])
    source.write_text(f'{good}\n{{"speed_kmh": \n[1, 2]\n{{"speed_kmh": -3}}\n{good}\n')
    report, results = run(source)
    assert [result["status"] for result in results] == ["ok", "invalid_input", "invalid_input", "invalid_input", "ok"]
    assert "Line 2 is not JSON" in results[1]["errors"][0]["message"]
    assert all(result["result"] is None for result in results[1:4])
    assert report.tally.not_ok == 3


def test_equal_inputs_are_asked_once_within_a_run_and_in_the_next(tmp_path):
    values = [{"id": i, **scenes(3)[i % 3]} for i in range(30)]
    source = write_lines(tmp_path / "in.jsonl", values)
    generator = ScriptedGenerator(SAID)
    _, first = run(source, generator=generator, keeps_answers=True)
    # Which model answers is known after the first answer; what was read ahead before that was asked blindly.
    asked = len(generator.calls)
    _, second = run(source, generator=generator, keeps_answers=True)
    for results in (first, second):
        assert [result["id"] for result in results] == list(range(30))
        assert [result["result"]["risk"] for result in results[:3]] * 10 == [one["result"]["risk"] for one in results]
    assert len(generator.calls) - asked <= asked


def test_equal_inputs_are_asked_once_when_the_model_is_known():
    generator = ScriptedGenerator(SAID)
    from edgechat.tasks.batch.answer_cache import AnswerCache

    with AnswerCache(Paths.from_env().cache) as answers:
        for _ in range(2):
            batch = BatchRun(load("driving"), lambda: generator, parallel=4, answers=answers, model_sha256="0" * 64)
            done = list(batch.run(Record(i, i, scenes(3)[i % 3]) for i in range(1, 61)))
            assert [result.id for _, result in done] == list(range(1, 61))
    assert len(generator.calls) == 3


def test_another_model_is_asked_again():
    from edgechat.tasks.batch.answer_cache import AnswerCache

    generator = ScriptedGenerator(SAID)
    with AnswerCache(Paths.from_env().cache) as answers:
        for sha256 in ("0" * 64, "f" * 64):
            batch = BatchRun(load("driving"), lambda: generator, answers=answers, model_sha256=sha256)
            list(batch.run(iter([Record(1, 1, scenes(1)[0])])))
    assert len(generator.calls) == 2


def test_what_the_time_allowed_cut_off_is_asked_again_and_what_was_said_in_full_is_not():
    from edgechat.tasks.batch.answer_cache import AnswerCache

    late, whole = ScriptedGenerator(SAID, finish_reason="timeout"), ScriptedGenerator(SAID)
    with AnswerCache(Paths.from_env().cache) as answers:
        for generator, said in ((late, "timeout"), (whole, "ok"), (whole, "ok")):
            batch = BatchRun(load("driving"), lambda: generator, answers=answers, model_sha256="0" * 64)  # noqa: B023
            ((_, done),) = batch.run(iter([Record(1, 1, scenes(1)[0])]))
            assert done.status == "ok"
            assert done.result is not None
            assert done.result["explanation_status"] == said
    assert (len(late.calls), len(whole.calls)) == (1, 1)


def test_what_was_decoded_beside_others_is_kept_apart_from_what_repeats_exactly():
    one, two, eight = (_variant(Job(source=None, parallel=n), load("driving"), None) for n in (1, 2, 8))
    assert one != two
    assert two == eight


def test_an_input_that_cannot_be_used_is_never_remembered(tmp_path):
    source = write_lines(tmp_path / "in.jsonl", [{"speed_kmh": -1}] * 3)
    for _ in range(2):
        assert [result["status"] for result in run(source, keeps_answers=True)[1]] == ["invalid_input"] * 3


def test_what_needs_a_model_stops_without_one_and_what_does_not_goes_on():
    missing = NoModelError("No model is installed.")
    driving = BatchRun(load("driving"), lambda: None, no_model=missing)
    ((_, done),) = driving.run(iter([Record(1, 1, scenes(1)[0])]))
    assert done.result is not None
    assert (done.status, done.result["explanation_status"]) == ("ok", "no_model")
    task = load("rootcause")
    with pytest.raises(NoModelError):
        list(BatchRun(task, lambda: None, no_model=missing).run(iter([Record(1, 1, dict(task.example))])))


def test_an_engine_that_dies_over_every_record_stops_the_run_and_its_records_are_asked_again(tmp_path):
    source, out = write_lines(tmp_path / "in.jsonl", scenes(20)), tmp_path / "out.jsonl"
    broken = ScriptedGenerator(raises=EngineError("The engine was killed."))
    with pytest.raises(EngineError):
        run(source, out, generator=broken)
    healthy = ScriptedGenerator(SAID)
    _, results = run(source, out, generator=healthy, resume=True)
    assert [result["status"] for result in results] == ["ok"] * 20
    assert all(result["result"]["explanation_status"] == "ok" for result in results)


def test_a_journal_is_gone_after_a_whole_run_and_asks_for_resume_after_half(tmp_path):
    source, out = write_lines(tmp_path / "in.jsonl", scenes(12)), tmp_path / "out.jsonl"
    run(source, out)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in.jsonl", "out.jsonl"]
    out.unlink()

    class StopError(Exception):
        pass

    count = iter(range(100))

    def stop() -> None:
        if next(count) == 5:
            raise StopError

    with pytest.raises(StopError):
        run(source, out, generator=ScriptedGenerator(SAID, on_call=stop))
    assert not out.exists()
    with pytest.raises(UsageError, match="--resume"):
        run(source, out)
    again = ScriptedGenerator(SAID)
    _, results = run(source, out, generator=again, resume=True)
    assert len(results) == 12
    assert len(again.calls) <= 8


def test_a_journal_of_another_run_is_refused(tmp_path):
    out = tmp_path / "out.jsonl"
    BatchJournal(tmp_path / "out.jsonl.journal", {"task": "rootcause"}, resume=False).close()
    with pytest.raises(InvalidInputError, match="task"):
        run(write_lines(tmp_path / "in.jsonl", scenes(1)), out, resume=True)


@pytest.mark.process
def test_an_input_that_changed_since_is_refused(tmp_path):
    source, out = write_lines(tmp_path / "in.jsonl", scenes(40)), tmp_path / "out.jsonl"
    kill_after(source, out, answers=15)
    write_lines(source, scenes(80)[40:])
    with pytest.raises(InvalidInputError, match="the input changed"):
        run(source, out, resume=True)


def test_two_runs_cannot_write_one_journal(tmp_path):
    path = tmp_path / "out.jsonl.journal"
    with BatchJournal(path, {}, resume=True), pytest.raises(StateError, match="Another run"):
        BatchJournal(path, {}, resume=True)


def kill_after(source: Path, out: Path, *, answers: int, parallel: int = 1, flags: tuple[str, ...] = ()) -> int:
    """Run in a process of its own and kill -9 it when so many questions were asked; how many it asked in all."""
    questions = out.with_name("questions")
    before = asked(questions)
    command = [
        sys.executable,
        "-m",
        "tests.tasks.batch.batch_child",
        source,
        out,
        "0.01",
        str(parallel),
        questions,
        *flags,
    ]
    child = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while child.poll() is None and asked(questions) - before < answers:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return asked(questions) - before


def asked(questions: Path) -> int:
    return questions.read_bytes().count(b"\n") if questions.exists() else 0


@pytest.mark.process
@pytest.mark.parametrize("parallel", [1, 4])
def test_kill_9_at_any_moment_and_resume_give_each_record_once(tmp_path, parallel):
    count, seed = 120, random.Random(parallel)
    source, out = write_lines(tmp_path / "in.jsonl", scenes(count)), tmp_path / "out.jsonl"
    _, whole = run(source, tmp_path / "whole.jsonl")
    kills = 0
    while not out.exists() and kills < 4:
        kill_after(source, out, answers=seed.randrange(1, 30), parallel=parallel, flags=("--resume",))
        kills += 1
    total = asked(tmp_path / "questions")
    generator = ScriptedGenerator(SAID)
    _, results = run(source, out, generator=generator, resume=True, parallel=parallel)
    essence = [[one["id"], one["status"], one["result"], one["input_sha256"]] for one in results]
    assert essence == [[one["id"], one["status"], one["result"], one["input_sha256"]] for one in whole]
    # Each kill may cost what was being answered, and what was answered while the disk synced.
    assert count <= total + len(generator.calls) <= count + kills * (2 * parallel + 2)


@pytest.mark.process
def test_a_journal_torn_by_a_power_cut_is_taken_as_far_as_it_is_whole(tmp_path):
    source, out = write_lines(tmp_path / "in.jsonl", scenes(40)), tmp_path / "out.jsonl"
    kill_after(source, out, answers=15)
    journal = tmp_path / "out.jsonl.journal"
    data = journal.read_bytes()
    journal.write_bytes(data[:-7] + b"\0" * 300)
    notes: list[str] = []
    generator = ScriptedGenerator(SAID)
    run_job(
        Job(source=str(source), out=out, resume=True, keeps_answers=False),
        load("driving"),
        Paths.from_env(),
        Wish(),
        stdin=io.BytesIO(),
        stdout=io.BytesIO(),
        callbacks=JobCallbacks(note=notes.append),
        generator=lambda: generator,
    )
    assert any("damaged" in note for note in notes)
    assert any(note.startswith("Resuming:") for note in notes)
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == list(range(1, 41))
    assert len(generator.calls) < 40


@pytest.mark.process
def test_memory_does_not_grow_with_the_input(tmp_path):
    peaks = []
    for count in (200, 3000):
        source = write_lines(tmp_path / "in.jsonl", scenes(count))
        command = [
            sys.executable,
            "-m",
            "tests.tasks.batch.batch_child",
            source,
            tmp_path / "out.jsonl",
            "0",
            "1",
            "questions",
        ]
        done = subprocess.run(
            [*map(str, command[:-1]), str(tmp_path / "questions")], cwd=ROOT, capture_output=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 6_000_000


def test_a_full_window_of_slow_records_does_not_hold_back_the_first(tmp_path):
    """Results leave as soon as all before them have, though later ones still run."""
    release, seen = threading.Event(), threading.Event()

    class Gate(ScriptedGenerator):
        def generate(self, ask: Any, **options: Any) -> Any:
            if '"speed": "50.02 km/h"' in ask.messages[-1].content:
                release.wait(30)
            return super().generate(ask, **options)

    results = BatchRun(load("driving"), lambda: Gate(SAID), parallel=2).run(
        Record(i, i, scene) for i, scene in enumerate(scenes(3), 1)
    )
    assert [next(results)[1].id, next(results)[1].id] == [1, 2]
    seen.set()
    release.set()
    assert [done.id for _, done in results] == [3]
