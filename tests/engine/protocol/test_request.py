"""Requests travel whole; a malformed one ends as an error that names what is wrong, never deeper inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.protocol.request import MAX_STOP_LENGTH, MAX_STOPS, Message, Request, Wish
from edgechat.errors import InvalidInputError
from edgechat.sampling import Sampling

HELLO = {"messages": [{"role": "user", "content": "Hi"}]}

REQUESTS = st.builds(
    Request,
    messages=st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text()), min_size=1).map(
        tuple
    ),
    wish=st.builds(Wish, st.none() | st.text(), st.none() | st.integers(1, 1 << 20)),
    sampling=st.fixed_dictionaries({}, optional={"temperature": st.floats(0, 5), "seed": st.integers(0, 9)}),
    max_tokens=st.none() | st.integers(1, 1 << 20),
    stop=st.lists(st.text(max_size=8), max_size=4).map(tuple),
    think=st.booleans(),
    timeout_s=st.none() | st.floats(0.001, 1e6),
    resume=st.lists(st.integers(0, 1 << 30)).map(tuple),
)


@given(REQUESTS)
def test_a_request_comes_out_of_json_as_it_went_in(request_):
    assert Request.from_dict(json.loads(json.dumps(request_.to_dict()))) == request_


MALFORMED: list[dict[str, Any]] = [
    {},
    {"messages": []},
    {"messages": None},
    {"messages": "Hi"},
    {"messages": {"role": "user", "content": "Hi"}},
    {"messages": ["Hi"]},
    {"messages": [["user", "Hi"]]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": None}]},
    {"messages": [{"role": "user", "content": ["Hi"]}]},
    {"messages": [{"role": "user", "content": "Hi", "more": "x"}]},
    {"messages": [{"role": "robot", "content": "Hi"}]},
    {**HELLO, "keep_on_disk": True},
    {**HELLO, "prefill_limit": 5},
    {**HELLO, "prefill_only": True, "prefill_limit": 0},
    {**HELLO, "prefill_only": True, "keep_on_disk": True},  # it would not be found again
    {**HELLO, "prefill_only": True, "keep_on_disk": True, "keep": "x", "prefill_limit": 5},
    {"messages": [{"role": "assistant", "content": "Hi"}], "prefill_only": True},
    {"messages": [], "texts": ["Hi"], "prefill_only": True},
    *(
        {**HELLO, name: value}
        for name, values in dict[str, list[Any]](
            {
                "unknown": [1],
                "wish": [None, "x", {"model": 5}, {"n_ctx": "4096"}, {"n_ctx": 1.5}, {"n_ctx": 0}, {"other": 1}],
                "sampling": [
                    None,
                    [],
                    {"temperature": "hot"},
                    {"temperature": None},
                    {"temperature": True},
                    {"temperature": -1},
                    {"temperature": float("nan")},
                    {"temperature": 10**400},
                    {"top_p": 0},
                    {"top_k": 1.5},
                    {"top_k": 1 << 31},
                    {"seed": -1},
                    {"seed": 1 << 32},
                    {"seed": float("inf")},
                    {"frequency": 1},
                ],
                "max_tokens": ["5", 0, -1, 1.5, True],
                "stop": ["abc", [1], None, ["x"] * (MAX_STOPS + 1), ["x" * (MAX_STOP_LENGTH + 1)]],
                "think": [1, "yes", None],
                "timeout_s": ["1", 0, -1, float("nan"), float("inf"), 1e300, True],
                "resume": [5, "12", [1.5], ["1"], [-1], [1 << 31], [None], [True]],
            }
        ).items()
        for value in values
    ),
]


@pytest.mark.parametrize("data", MALFORMED, ids=lambda data: str(data)[:80])
def test_a_malformed_request_is_refused_as_invalid_input(data):
    with pytest.raises(InvalidInputError):
        Request.from_dict(data)


@given(
    st.dictionaries(
        st.sampled_from([*Request.__slots__, "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=6,
        ),
    )
)
def test_any_json_object_is_a_request_or_is_refused(data):
    try:
        request = Request.from_dict({**HELLO, **data})
    except InvalidInputError:
        return
    Sampling.from_dict(request.sampling)


def test_parameters_from_a_manifest_may_write_whole_numbers_as_floats():
    assert Sampling.from_dict({"top_k": 20.0}).top_k == 20


def test_an_unknown_parameter_is_answered_with_the_known_ones():
    with pytest.raises(InvalidInputError, match="temperature") as caught:
        Sampling.from_dict({"temprature": 1})
    assert "temprature" in caught.value.message
