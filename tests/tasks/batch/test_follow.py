"""A live stream: numbers at once, explanations newest first, silence said aloud. The model is a script."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from edgechat.errors import EdgechatError, EngineError
from edgechat.tasks.batch.follow import Follower, StreamLine, timed_lines
from edgechat.tasks.registry import load
from tests.tasks.scripted import ScriptedGenerator

SCENE = {"distance_to_car_m": 45.0, "lane_center_offset_m": 0.2, "weather": "clear", "time_of_day": "day"}
SAID = {"sentence": "The vehicle is 0.2 m right of the lane centre on the dry road."}


class Stream:
    """A pipe that a test writes into while a follower reads it."""

    def __init__(self, generator: Any, *, task: Any = None, **options: Any) -> None:
        self.lines: list[StreamLine] = []
        self._changed = threading.Condition()
        self.follower = Follower(task or load("driving"), generator, self._write, **options)
        self._read, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)  # a failed test must not hang
        self.error: EdgechatError | None = None
        self._thread.start()

    def send(self, *values: Any) -> None:
        for value in values:
            os.write(self._end, value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n")

    def until(self, holds: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.lines), timeout=20), [
                line.to_json() for line in self.lines
            ]

    def close(self) -> None:
        os.close(self._end)
        self._thread.join(20)
        os.close(self._read)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.follower.run(self._read)
        except EdgechatError as error:
            self.error = error

    def _write(self, line: StreamLine) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()


class Held(ScriptedGenerator):
    """Answers only when it is let go."""

    def __init__(self) -> None:
        super().__init__(SAID)
        self.gate = threading.Semaphore(0)

    def generate(self, ask: Any, **options: Any) -> Any:
        answer = super().generate(ask, **options)
        assert self.gate.acquire(timeout=20)
        return answer


def finals(lines: list[StreamLine]) -> list[Any]:
    return [line.result.id for line in lines if line.result.is_final and line.result.status == "ok"]


def test_numbers_go_out_while_the_model_is_busy_and_the_newest_is_explained_next():
    model = Held()
    stream = Stream(model)
    stream.send({"id": 0, "speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: len(model.calls) == 1)
    for i in range(1, 20):
        stream.send({"id": i, "speed_kmh": 50.0, **SCENE})
    # Nothing has been answered yet, and every line is there with its risk.
    stream.until(lambda lines: [line.result.id for line in lines if line.result.status == "ok"] == list(range(20)))
    assert all(line.result.result["explanation_status"] == "pending" for line in stream.lines if line.result.result)
    model.gate.release(2)
    stream.until(lambda lines: finals(lines) == [0, 19])
    assert stream.lines[-1].dropped == 18
    stream.close()
    assert (stream.follower.explained, stream.follower.dropped) == (2, 18)


def test_an_alert_is_not_pushed_aside_by_a_calm_line():
    model = Held()
    stream = Stream(model)
    stream.send({"id": "first", "speed_kmh": 20.0, **SCENE})
    stream.until(lambda lines: len(model.calls) == 1)
    stream.send({"id": "alert", "speed_kmh": 130.0, **SCENE, "distance_to_car_m": 5.0, "weather": "snow"})
    stream.until(lambda lines: any(line.result.id == "alert" for line in lines))
    assert stream.lines[-1].result.result is not None
    assert stream.lines[-1].result.result["alert"] is True
    # The alert holds for a calm second; the lines after that are calm and must not take its place.
    for i in range(6):
        stream.send({"id": i, "speed_kmh": 5.0, **SCENE, "distance_to_car_m": None})
        time.sleep(0.3)
    stream.until(lambda lines: lines[-1].result.id == 5)
    last = stream.lines[-1].result.result
    assert last is not None
    assert last["alert"] is False
    model.gate.release(2)
    stream.until(lambda lines: len(finals(lines)) == 2)
    explained = stream.lines[-1].result.result
    assert explained is not None
    assert explained["alert"] is True
    stream.close()


def test_silence_is_said_once_and_carries_no_risk():
    stream = Stream(ScriptedGenerator(SAID))
    stream.send({"speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: lines[-1:] and lines[-1].result.status == "stale")
    assert stream.lines[-1].result.result is None
    stream.send({"speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: lines[-1].result.status == "ok")
    stream.close()
    assert stream.follower.silences == 1


def test_half_a_line_does_not_break_the_silence():
    read, write = os.pipe()
    os.write(write, b'{"a": 1}\n{"b":')
    lines = timed_lines(read, 0.05)
    assert next(lines) == b'{"a": 1}'
    os.write(write, b" ")
    assert next(lines) is None
    os.write(write, b"2}\n")
    assert next(lines) == b'{"b": 2}'
    os.close(write)
    assert list(lines) == []
    os.close(read)


@pytest.mark.parametrize("bad", [b"not json\n", b"\xff\xfe\n", b"[1]\n", b'{"speed_kmh": NaN}\n'])
def test_a_bad_line_is_answered_without_a_risk_and_the_stream_goes_on(bad):
    stream = Stream(ScriptedGenerator(SAID))
    stream.send(bad, {"id": "good", "speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: "good" in finals(lines))
    assert stream.lines[0].result.status == "invalid_input"
    assert stream.lines[0].result.result is None
    stream.close()
    assert stream.follower.not_ok == 1


def test_without_a_model_the_rules_speak_alone():
    stream = Stream(None)
    stream.send({"speed_kmh": 50.0, **SCENE})
    stream.close()
    assert stream.lines[0].result.result is not None


def test_a_dead_engine_costs_the_models_sentence_alone():
    stream = Stream(ScriptedGenerator(raises=EngineError("The engine was killed.")))
    stream.send({"speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: finals(lines) == [1])
    stream.close()
    last = stream.lines[-1].result.result
    assert last is not None
    assert (last["explanation"], last["explanation_status"]) == (last["reason"], "failed")
    assert stream.error is None


def test_every_line_is_json_with_the_count_of_what_was_dropped():
    stream = Stream(ScriptedGenerator(SAID))
    stream.send({"speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: finals(lines) == [1])
    stream.close()
    shown = json.loads(json.dumps(stream.lines[-1].to_json()))
    assert (shown["final"], shown["dropped"]) == (True, 0)


def written(stream: Stream) -> list[str]:
    return [line.to_text(load("driving"), "text") for line in stream.lines]


def test_an_alert_is_written_once_whatever_becomes_of_the_models_sentence():
    danger = {"speed_kmh": 130.0, **SCENE, "distance_to_car_m": 5.0, "weather": "snow"}
    stream = Stream(ScriptedGenerator({"sentence": "Everything is safe."}))
    stream.send(danger)
    stream.until(lambda lines: finals(lines) == [1])
    stream.close()
    rules, final = written(stream)
    assert rules.startswith("!! ")
    assert final == ""
    assert (stream.follower.explained, stream.follower.unused) == (0, 1)


def test_of_an_answer_only_what_the_model_added_is_written_with_its_line():
    stream = Stream(ScriptedGenerator(SAID))
    stream.send(b"\n", {"speed_kmh": 50.0, **SCENE})
    stream.until(lambda lines: finals(lines) == [2])
    stream.close()
    assert written(stream)[-1] == f"line 2: {SAID['sentence']}\n"
    assert (stream.follower.lines, stream.follower.explained, stream.follower.unused) == (1, 1, 0)


def test_errors_as_text_name_their_line():
    stream = Stream(ScriptedGenerator(SAID))
    stream.send({"speed_kmh": 50.0, **SCENE}, b"\n", b"{no json\n", {**SCENE, "id": "a", "speed_kmh": -4})
    stream.until(lambda lines: sum(line.result.status == "invalid_input" for line in lines) == 2)
    stream.close()
    bad = [text for line, text in zip(stream.lines, written(stream), strict=True) if line.result.result is None]
    assert bad[0].startswith("line 3: The line is not JSON in UTF-8: ")
    assert bad[1].startswith("line 4: /speed_kmh: ")
    assert [line.to_json()["line"] for line in stream.lines if line.result.status == "invalid_input"] == [3, 4]


def test_all_questions_of_a_record_are_asked_before_its_last_line():
    class Twice(ScriptedGenerator):
        def generate(self, ask: Any, **options: Any) -> Any:
            answer = super().generate(ask, **options)
            return replace(answer, value=f"{len(self.calls)}. Öffnen.", text=f"{len(self.calls)}. Öffnen.")

    model = Twice()
    stream = Stream(model, task=load("translate"))
    stream.send({"text": "Open the valve. Close the door.", "source": "en", "target": "de"})
    stream.until(lambda lines: lines[-1:] and lines[-1].result.is_final)
    stream.close()
    assert len(model.calls) > 1
    assert [line.result.is_final for line in stream.lines] == [False, True]
