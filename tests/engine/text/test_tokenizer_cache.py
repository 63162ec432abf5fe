"""The tokenizer behind constrained answers: made while the model loads, from what an earlier engine kept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def said(starter_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the child found with the real vocabulary."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.text.tokenizer_child", starter_file, tmp_path_factory.mktemp("kept")],
        cwd=Path(__file__).parents[3],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.process
def test_the_tokenizer_is_made_from_disk_without_the_model_and_is_the_same(said):
    assert said["is kept"]
    assert said["was made ahead"]
    assert len(said["from the model"]) > 1
    assert said["ahead"] == said["from the model"]


@pytest.mark.process
def test_a_damaged_file_or_one_of_another_vocabulary_is_made_again_from_the_model(said):
    assert said["from damage"] == said["from the model"]
    assert said["is mended"]
    assert said["from another's"] == said["from the model"]


@pytest.mark.process
def test_a_directory_that_cannot_be_made_costs_only_the_time(said):
    assert said["without a disk"] == said["from the model"]


@pytest.mark.process
def test_a_question_about_one_token_is_answered_as_the_mask_over_all_of_them_does(said):
    assert said["disagreements"] == 0


@pytest.mark.process
def test_of_a_guess_only_what_the_schema_lets_come_is_left(said):
    assert said["possible"].startswith('{"category": "machine", "statement": "x", "')
    assert "nonsense" in said["guess"]
    assert "nonsense" not in said["possible"]
