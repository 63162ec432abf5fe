"""The record of a run: identity, provenance, time, and what happens to errors."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from edgechat.errors import DeadlineError, NoModelError, UsageError
from edgechat.tasks.batch.follow import stale_result
from edgechat.tasks.contract import GeneratedJson
from edgechat.tasks.driving.task import Driving
from edgechat.tasks.rootcause.task import RootCause
from edgechat.tasks.runner import TaskRun, input_sha256, run_task
from edgechat.version import __version__
from tests.tasks.scripted import ManualClock, ScriptedGenerator

GOOD = dict(Driving.example)
KEYS = [
    "id", "task", "task_version", "status", "result", "errors", "timing", "model", "quant", "model_sha256",
    "edgechat_version", "seed", "input_sha256", "created_at",
]  # fmt: skip


def test_a_result_has_the_documented_keys_in_order():
    done = run_task(Driving(), GOOD, generator=ScriptedGenerator({"explanation": "Too close."})).to_json()
    assert list(done) == KEYS
    assert (done["task"], done["task_version"], done["edgechat_version"]) == ("driving", Driving.version, __version__)
    assert done["model_sha256"] == "0" * 64
    assert done["timing"]["ttft_s"] == 0.1
    assert list(run_task(Driving(), {}, generator=None).to_json()) == KEYS


@pytest.mark.parametrize(("own", "expected"), [("a-1", "a-1"), (17, 17), (None, 5), (True, 5), ({"no": "id"}, 5)])
def test_the_id_is_the_records_own_or_its_line(own, expected):
    assert run_task(Driving(), {**GOOD, "id": own}, generator=None, record_id=5).id == expected
    assert run_task(Driving(), GOOD, generator=None, record_id=5).id == 5


def test_an_invalid_record_keeps_its_id():
    assert run_task(Driving(), {"id": "a-1"}, generator=None).id == "a-1"


def test_the_input_is_hashed_without_its_id_whatever_its_order():
    plain = run_task(Driving(), GOOD, generator=None).input_sha256
    shuffled = run_task(Driving(), {"id": 9, **dict(reversed(GOOD.items()))}, generator=None).input_sha256
    canonical = json.dumps(GOOD, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    assert plain == shuffled == hashlib.sha256(canonical).hexdigest()
    assert run_task(Driving(), {**GOOD, "speed_kmh": 99.0}, generator=None).input_sha256 != plain


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("odd", [{1: 2, "a": 3}, {"x": {1, 2}}, "\ud800", b"x", float("nan"), nested(20_000)])
def test_even_what_json_cannot_hold_has_a_hash(odd):
    assert run_task(Driving(), {**GOOD, "weather": odd}, generator=None).status == "invalid_input"
    assert len(input_sha256(odd)) == 64


def test_an_input_model_can_be_handed_over_as_it_is():
    record = Driving.input_model.model_validate(GOOD)
    done = run_task(Driving(), record, generator=None)
    assert done.status == "ok"
    assert done.result is not None
    assert done.result["risk"] == 0.75


def test_created_at_is_utc_and_null_while_the_clock_is_unset():
    def created(wall_s: float) -> str | None:
        return run_task(Driving(), GOOD, generator=None, clock=ManualClock(wall_s=wall_s)).created_at  # type: ignore[arg-type]

    assert created(1_790_000_000.0) == "2026-09-21T14:13:20.000Z"
    assert created(0.0) is None
    assert created(1_735_689_599.0) is None


def test_time_is_told_apart_into_rules_and_model():
    clock = ManualClock()

    def think() -> None:
        clock.monotonic_s += 2.0

    generator = ScriptedGenerator({"explanation": "Too close."}, on_call=think)
    done = run_task(Driving(), GOOD, generator=generator, clock=clock)  # type: ignore[arg-type]
    assert (done.timing["model_s"], done.timing["rules_s"], done.timing["total_s"]) == (2.0, 0.0, 2.0)


def test_a_live_record_gets_its_tasks_time_limit_unless_told_otherwise():
    from edgechat.tasks.contract import Context

    def allowed(**more: object) -> float | None:
        generator = ScriptedGenerator(finish_reason="timeout")
        run_task(RootCause(), RootCause.example, generator=generator, clock=ManualClock(), **more)  # type: ignore[arg-type]
        return generator.calls[0].timeout_s

    assert allowed(context=Context(live=True)) == 3.0
    assert allowed(context=Context(live=True), timeout_s=9.0) == 9.0
    assert allowed() is None


@pytest.mark.parametrize("error", [NoModelError("No model."), DeadlineError("Too late.")])
def test_an_error_of_the_generator_fails_the_record_and_is_kept(error):
    done = run_task(RootCause(), RootCause.example, generator=ScriptedGenerator(raises=error))
    assert (done.status, done.cause) == ("failed", error)
    assert error.message in done.errors[0].message
    assert done.result is not None


def test_a_defect_of_the_generator_is_not_swallowed():
    class Broken:
        def generate(self, *_: object, **__: object) -> GeneratedJson:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_task(Driving(), GOOD, generator=Broken())


def test_many_records_can_be_on_their_way_together():
    runs = [TaskRun(Driving(), {**GOOD, "speed_kmh": speed}, record_id=speed) for speed in (40, 80, 120)]
    asked = [run.ask for run in runs]
    assert all(asked)
    for run in reversed(runs):
        run.receive(GeneratedJson({"explanation": "Too close."}))
    results = [run.result() for run in runs]
    assert [done.id for done in results] == [40, 80, 120]
    risks = [done.result["risk"] for done in results if done.result]
    assert risks == sorted(risks)
    assert len(risks) == 3


def test_a_stale_stream_has_no_result():
    done = stale_result(Driving(), 8, 0.53).to_json()
    assert (done["id"], done["status"], done["result"]) == (8, "stale", None)
    assert "0.5 s" in done["errors"][0]["message"]


def test_an_unknown_format_is_refused_with_those_there_are():
    task = Driving()
    with pytest.raises(UsageError, match=r"cannot be written as pdf.*json, text"):
        task.render(run_task(task, GOOD, generator=None), "pdf")
