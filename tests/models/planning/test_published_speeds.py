"""Predictions against published measurements: the held-out third by board, and no recommendation below reading pace."""

from __future__ import annotations

import re

import pytest

from edgechat.board.probe.board_file import known_names
from edgechat.models.planning.candidate import from_entry
from edgechat.models.planning.fit import least_pace
from edgechat.models.planning.model_work import model_work
from edgechat.models.planning.plan import LoadSettings, PlanRequest
from scripts.speed_model.speed_row_models import MODELS
from scripts.speed_model.speed_rows import EXCLUDED_ROWS, EXCLUDED_USE, TSV, load
from scripts.speed_model.speed_score import DECODE, PREFILL, by_board, hits, shipped
from tests.models.planning.board_plans import CATALOG, plan_of

ROWS = load()
HELD_OUT = [row for row in ROWS if row.fold == 0]

# Published boards by the beginning of the names that --board knows, and published models by catalog name.
BOARDS = {
    "Raspberry Pi 5": "pi5",
    "Raspberry Pi CM5": "pi5",
    "Raspberry Pi 500": "pi5",
    "Raspberry Pi 500+": "pi5",
    "Raspberry Pi 4B": "pi4",
    "Raspberry Pi 400": "pi4",
    "Raspberry Pi Zero 2 W": "pi-zero-2w",
    "Jetson Orin Nano 8GB": "orin-nano-8gb",
    "Jetson AGX Orin 64GB": "agx-orin-64gb",
    "Radxa ROCK 5B+ (RK3588)": "rock-5b-plus",
    "Intel N100 (AWOW AK-10)": "n100",
    "Intel N100 (ThinkCentre mini)": "n100",
    "Intel N150 (GMKtec G3 Plus)": "n150",
}


def catalog_name(model: str) -> str:
    """The catalog's name of a model as the rows write it, or ``""``."""
    plain = model.lower().removesuffix("-instruct")
    found = [
        name for name in CATALOG.names if re.sub(r"-(instruct|it|chat).*$", "", name) == plain.replace("-2507", "")
    ]
    return next((name for name in found if ("2507" in model) == ("2507" in name)), found[0] if found else "")


@pytest.mark.parametrize(
    ("which", "limit", "share"), [(0, DECODE, 0.80), (1, PREFILL, 0.70)], ids=["decode", "prefill"]
)
def test_held_out_rows_are_predicted(which, limit, share):
    predicted = shipped(HELD_OUT)
    by_board(hits(HELD_OUT, predicted, 0), hits(HELD_OUT, predicted, 1))  # shown when it fails, and with -s

    errors = hits(HELD_OUT, predicted, which)
    assert len(errors) > 25
    assert sum(abs(error) <= limit for _, error in errors) >= share * len(errors)


def test_the_constants_would_not_pass_if_they_were_those_of_another_board():
    wrong = [(decode * 2, prefill * 2) for decode, prefill in shipped(HELD_OUT)]

    assert sum(abs(error) <= DECODE for _, error in hits(HELD_OUT, wrong, 0)) < 0.2 * len(HELD_OUT)


def test_no_row_is_left_out_without_a_reason():
    rows = load(every=True)

    assert len(rows) > 225
    assert {row.use for row in rows} <= set(EXCLUDED_USE) | {"main", "main-decode"}
    assert set(EXCLUDED_ROWS) <= {line.split("\t", 1)[0] for line in TSV.read_text(encoding="utf-8").splitlines()}


def test_no_recommendation_is_slower_than_the_floor_by_any_published_row():
    # Rows with fewer threads than the best, without a fan, or of a file larger than the memory are no board's speed.
    asked = {"main", "main-decode", "chat", "long", "norepack"}
    checked = []
    for row in load(every=True):
        board, name = BOARDS.get(row.board), catalog_name(row.model)
        if board is None or not name or row.use not in asked or row.decode is None:
            continue
        mode = f"-{row.platform.partition('@')[2].lower()}" if "@" in row.platform else ""
        entry = CATALOG.find(name).entry
        floor = least_pace(from_entry(entry, next(iter(entry.files)), ()), PlanRequest())
        for known in known_names():
            if not known.startswith(f"{board}-") or not known.endswith(mode):
                continue
            if plan_of(known).model == name:
                checked.append((known, name, row.id, row.decode))
                assert row.decode >= floor, checked[-1]
    assert len(checked) >= 3


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("qwen2.5-1.5b-instruct", "Qwen2.5-1.5B"),
        ("llama-3.2-1b-instruct", "Llama-3.2-1B"),
        ("gemma-3-1b-it", "Gemma-3-1B"),
        ("gemma-4-e2b-it", "Gemma-4-E2B"),
        ("gemma-4-e4b-it", "Gemma-4-E4B"),
        ("qwen3.5-2b", "Qwen3.5-2B"),
        ("qwen3-30b-a3b-instruct-2507", "Qwen3-30B-A3B-2507"),
    ],
)
def test_the_plan_counts_what_the_fit_counted(name, published):
    """The plan counts a file's tensors or a catalog entry, the fit the published configs."""
    entry, shape = CATALOG.find(name).entry, MODELS[published]
    file = from_entry(entry, "Q4_K_M", ())
    work = model_work(file.shape, file.weights, LoadSettings(4096))

    assert work.params == pytest.approx(shape.active, rel=0.05)
    assert work.read_bytes < 0.8 * entry.files["Q4_K_M"].bytes or shape.tied
    assert work.kv_bytes == pytest.approx(4 * shape.kv_width * shape.n_attn, rel=0.25)


def test_an_untied_input_embedding_is_not_read_and_a_tied_one_is():
    def unread(name: str) -> float:
        entry = CATALOG.find(name).entry
        file = from_entry(entry, "Q4_K_M", ())
        read = model_work(file.shape, file.weights, LoadSettings(4096)).read_bytes
        return (file.weights.file - read) / file.weights.embedding

    assert unread("qwen3-8b") > 1
    assert unread("llama-3.2-1b-instruct") < 0.1
