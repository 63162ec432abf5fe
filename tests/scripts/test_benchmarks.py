"""What the benchmarks compute from their figures, and the questions they ask."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from scripts.benchmarks import concurrent_clients, reply, rounds, task_questions
from scripts.benchmarks.sections import json_answers, stall


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3, 1, 2], 0.5, 2), ([1, 2, 3, 4], 0.95, 4), ([5], 0.01, 5), (list(range(1, 101)), 0.95, 95)],
)
def test_percentile_is_a_measured_value(values, share, expected):
    assert rounds.percentile(values, share) == expected


def test_gaps_are_those_that_touch_the_span():
    assert stall.gaps([0.0, 1.0, 2.0, 5.0, 6.0, 7.0], since=1.5, until=5.5) == [1.0, 3.0, 1.0]


def test_a_steadied_schema_only_narrows():
    ids = {"type": "array", "items": {"enum": ["N1", "L1"]}, "minItems": 1, "maxItems": 3}
    claim = {"type": "object", "properties": {"cause": {"type": "string", "maxLength": 20}, "ids": ids}}
    schema = {
        "type": "object",
        "properties": {
            "causes": {"type": "array", "items": claim, "maxItems": 3},
            "escape": {"anyOf": [claim, {"type": "null"}]},
        },
    }  # fmt: skip
    narrow = task_questions.steadied(schema)
    one = {"cause": "Too hot.", "ids": ["N1", "L1"]}
    answer = {"causes": [one, one], "escape": one}
    assert Draft202012Validator(narrow).is_valid(answer)
    assert Draft202012Validator(schema).is_valid(answer)
    assert not Draft202012Validator(narrow).is_valid(answer | {"causes": []})
    assert not Draft202012Validator(narrow).is_valid(answer | {"escape": None})


@pytest.mark.parametrize("job", ["driving", "rootcause"])
def test_the_tasks_schemas_can_be_steadied(job):
    question = task_questions.JOBS[job](3)
    assert question.schema is not None
    Draft202012Validator.check_schema(task_questions.steadied(question.schema))


@pytest.mark.parametrize("job", task_questions.JOBS)
def test_records_differ_and_instructions_do_not(job):
    first, second = (task_questions.for_model(task_questions.JOBS[job](turn), is_shape=False) for turn in (1, 2))
    assert first.messages[0] == second.messages[0]
    assert first.messages[-1] != second.messages[-1]


def test_validity_is_jsonschemas():
    schema = {"type": "object", "required": ["a"]}
    assert json_answers.is_valid('{"a": 1}', schema)
    assert not json_answers.is_valid('{"b": 1}', schema)
    assert not json_answers.is_valid('{"a": 1', schema)


def _cell(job: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> json_answers.Cell:
    series = {"tokens": rounds.Series((1.0,)), "characters": rounds.Series((10.0,))}
    return json_answers.Cell(
        "m", job, "peer", {"seconds": rounds.Series(ours), **series}, {"seconds": rounds.Series(theirs), **series}
    )


def test_summary_names_mean_and_worst_cell():
    (said,) = json_answers.summary([_cell("a", (1.0,), (9.0,)), _cell("b", (2.0,), (1.0,))])
    assert "geometric mean 2.12" in said  # sqrt(9 * 0.5)
    assert "worst 0.50 in m, b (**missed**" in said


def test_a_crowd_answers_everything_once_and_in_order():
    asked = [reply.Question((), number) for number in range(20)]

    def answer(question):
        return reply.Reply(str(question.max_tokens), 1, 1, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, ())

    _, replies = concurrent_clients.ask_all(asked, [answer] * 3)
    assert [reply.text for reply in replies] == [str(number) for number in range(20)]


def test_a_failure_in_a_crowd_is_raised():
    def fail():
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        concurrent_clients.at_once([fail, lambda: None])
