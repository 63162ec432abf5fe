"""A board survives JSON, and JSON that is no board is refused with the place named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.board.board import Accelerator, Board, Cpu, Memory
from edgechat.board.probe.board_file import from_json, load_board, to_json
from edgechat.errors import InvalidInputError

size = st.integers(0, 1 << 50)
word = st.text(max_size=12).filter(str.isprintable)


@st.composite
def boards(draw: st.DrawFn) -> Board:
    big, more, threads = draw(st.integers(1, 64)), draw(st.integers(0, 64)), draw(st.integers(0, 64))
    total = draw(st.integers(1, 1 << 50))
    cpu = Cpu(
        *(draw(word), draw(word), big + more, big + more + threads, big),
        features=tuple(draw(st.lists(word, max_size=3))),
        max_mhz=draw(st.none() | st.integers(1, 9000)),
        quota=draw(st.none() | st.floats(0.01, 64)),
    )
    memory = Memory(
        *(total, draw(st.integers(0, total)), draw(st.none() | size), draw(st.none() | size), draw(st.booleans())),
        swap_total=draw(size),
        bandwidth=draw(st.none() | size),
    )
    gpus = []
    for number in range(draw(st.integers(0, 2))):
        own = draw(size)
        kind = draw(st.sampled_from(["cuda", "metal"]))
        gpus.append(Accelerator(kind, draw(word), own, draw(st.integers(0, own)), draw(st.booleans()), number))
    notes = tuple(draw(st.lists(word, max_size=2)))
    return Board(
        draw(word), draw(word), draw(word), draw(word), cpu, memory, tuple(gpus), draw(word), notes, draw(word)
    )


@pytest.mark.slow
@given(boards())
def test_a_board_survives_json(board: Board) -> None:
    assert from_json(json.loads(json.dumps(to_json(board)))) == board


def changed(**change: Any) -> dict[str, Any]:
    """The pi4-4gb as JSON with some values at ``a__b`` replaced; None removes the key."""
    document = to_json(load_board("pi4-4gb"))
    for path, value in change.items():
        *parents, last = path.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory__total": "3.8 GB"}, '/memory/total must be a whole number, not "3.8 GB"'),
        ({"memory__total": 3.8e9}, "/memory/total must be a whole number"),
        ({"memory__total": True}, "/memory/total must be a whole number, not true"),
        ({"memory__available": 1 << 40}, "/memory/available must lie between"),
        ({"memory__available": -1}, "/memory/available must lie between"),
        ({"memory__bandwidth": -1}, "/memory/bandwidth must not be negative"),
        ({"memory__avaliable": 1}, "Did you mean available?"),
        ({"memory__total": None}, "The board lacks /memory/total"),
        ({"cpu": None}, "The board lacks /cpu"),
        ({"cpu": []}, "/cpu must be an object, not []"),
        ({"cpu__n_cores": 0}, "/cpu/n_big_cores must lie between"),
        ({"cpu__features": "avx2"}, '/cpu/features must be a list, not "avx2"'),
        ({"cpu__features": [1]}, "/cpu/features/0 must be a text, not 1"),
        ({"cpu__quota": float("nan")}, "/cpu/quota must be above 0"),
        ({"accelerators": [{"kind": "cuda"}]}, "The board lacks /accelerators/0/name"),
        ({"name": "\x1b[2J"}, "/name must be a text without control characters"),
        ({"notes": [None]}, "/notes/0 must be a text, not null"),
    ],
)
def test_what_is_no_board_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        from_json(changed(**change))
    assert message in str(caught.value)


def test_an_accelerator_llama_cpp_has_no_backend_for_here_is_refused() -> None:
    gpu = {"kind": "rocm", "name": "x", "total": 1, "free": 1, "unified": False}
    with pytest.raises(InvalidInputError, match="/accelerators/0/kind must be cuda or metal"):
        from_json(changed(accelerators=[gpu]))


def test_facts_added_later_may_be_absent() -> None:
    document = to_json(load_board("pi4-4gb"))
    for key in ("model", "environment", "notes", "boot_id", "accelerators"):
        del document[key]
    assert from_json(document).memory == load_board("pi4-4gb").memory


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | word, st.lists, max_leaves=5))
def test_any_other_json_is_refused(document: object) -> None:
    with pytest.raises(InvalidInputError):
        from_json(document)
