"""`edgechat models plan` as people and scripts meet it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from edgechat.board.probe.board_file import load_board
from edgechat.board.probe.board_file import to_json as board_json
from edgechat.cli.models.plan import plan
from edgechat.cli.output import quick_measurement
from edgechat.errors import DoesNotFitError, InvalidModelFileError, ModelNotFoundError, UsageError
from edgechat.models.planning.calibration import Measurement, file_key, keep
from edgechat.models.store.installed import starter
from edgechat.models.store.pin import Pin, write_pin
from edgechat.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    *("model", "quant", "file_bytes", "n_ctx", "kv_type", "n_batch", "n_ubatch", "n_gpu_layers", "load_mode"),
    *("repack", "n_threads", "memory", "available_bytes", "reserve_bytes", "fits", "estimated", "reasons"),
    "alternatives",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path))
    for name in ("EDGECHAT_MODELS", "EDGECHAT_N_CTX", "EDGECHAT_THREADS"):
        monkeypatch.delenv(name, raising=False)
    # This machine's speed is nobody's expectation; what measures it has tests of its own.
    monkeypatch.setattr(quick_measurement, "measure_if_unknown", lambda *_: None)
    return tmp_path


def run(*args: str) -> str:
    result = CliRunner().invoke(plan, args, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def run_json(*args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*args, "--json"))
    return found


def test_json_has_the_promised_keys_and_parts_that_add_up():
    found = run_json("--board", "pi5-8gb")

    assert set(found) >= KEYS
    memory = found["memory"]
    assert memory["total"] == memory["weights"] + memory["kv"] + memory["compute"] + memory["overhead"]
    assert all(type(value) is int for value in memory.values())
    assert type(found["available_bytes"]) is type(found["reserve_bytes"]) is int
    assert set(found["estimated"]) == {"prefill_tps", "decode_tps", "basis"}
    for other in found["alternatives"]:
        assert set(other) == {
            *("model", "quant", "n_ctx", "kv_type", "total", "fits", "why_not"),
            *("decode_tps", "page_s"),
        }
        assert (other["decode_tps"] is None) == (not other["fits"])


def test_the_speed_is_told_as_a_person_meets_it():
    found = run_json("qwen2.5-1.5b-instruct:q4_k_m", "--board", "pi5-4gb")

    estimated, practice = found["estimated"], found["in_practice"]
    assert estimated["basis"] == "published"
    assert practice["page_s"] == pytest.approx(1000 / estimated["prefill_tps"], rel=0.2)
    assert practice["question_s"] < practice["page_s"] / 5
    assert practice["words_per_minute"] == pytest.approx(45 * estimated["decode_tps"], rel=0.02)
    text = " ".join(run("qwen2.5-1.5b-instruct:q4_k_m", "--board", "pi5-4gb").split())
    assert "1,000-token page" in text
    assert f"{practice['words_per_minute']} words a minute" in text


def test_what_a_smaller_model_would_give_is_told():
    found = run_json("--board", "pi5-8gb")

    chosen = found["estimated"]["decode_tps"]
    told = next(reason for reason in found["reasons"] if reason.startswith("A smaller model would be faster"))
    name = re.search(r"faster: (\S+):(\S+) gives about (\d+) words a minute, a page in (\d+) s\.", told)
    assert name is not None
    other = next(item for item in found["alternatives"] if item["model"] == name[1])
    assert int(name[3]) == pytest.approx(45 * other["decode_tps"], rel=0.02)
    assert other["decode_tps"] >= 1.5 * chosen
    assert other["page_s"] == int(name[4]) < found["in_practice"]["page_s"] / 1.5


def test_a_named_model_is_planned_at_the_context_asked_for_and_the_better_choice_is_told():
    found = run_json("qwen2.5-1.5b-instruct:q3_k_m", "--board", "pi4-4gb", "--ctx", "5000")

    assert (found["model"], found["quant"], found["n_ctx"]) == ("qwen2.5-1.5b-instruct", "Q3_K_M", 5120)
    assert found["alternatives"][-1]["why_not"] == "recommended for this board"


def test_the_pinned_model_is_planned_with_the_context_that_answers_next():
    model = starter()
    assert model is not None
    write_pin(Paths.from_env(), Pin(model.name, model.quant, 1024))
    assert run_json(model.name)["n_ctx"] == 1024
    assert run_json(model.label)["n_ctx"] == 1024
    # What is asked for comes first, and the pin belongs to this machine.
    assert run_json(model.name, "--ctx", "512")["n_ctx"] == 512
    assert run_json("smollm2-360m-instruct", "--board", "pi5-8gb")["n_ctx"] > 1024


def test_another_tools_tag_is_understood():
    assert run_json("llama3.2:1b", "--board", "pi5-4gb")["model"] == "llama-3.2-1b-instruct"


def test_a_board_file_works_like_a_name(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(board_json(load_board("pi4-2gb"))))

    assert run_json("--board", str(file)) == run_json("--board", "pi4-2gb")


def test_people_see_a_bar_reasons_and_alternatives_in_80_columns():
    text = run("--board", "pi5-4gb")

    assert "fits on pi5-4gb" in text
    assert re.search(r"^[\d,]+ MB to download, \d+% of the free memory when it runs$", text, re.MULTILINE)
    assert "WHY NOT" in text
    assert "█" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_model_that_does_not_fit_is_shown_with_what_would_and_ends_with_exit_3():
    result = CliRunner().invoke(plan, ["qwen2.5-7b-instruct", "--board", "pi4-4gb", "--json"], standalone_mode=False)

    assert isinstance(result.exception, DoesNotFitError)
    assert result.exception.exit_code == 3
    assert result.exception.hint.endswith("edgechat models plan --board pi4-4gb")
    found = json.loads(result.stdout)
    assert found["fits"] is False
    assert found["alternatives"][-1]["fits"] is True


@pytest.mark.process
def test_an_installed_file_is_planned_from_its_own_header():
    model = starter()
    assert model is not None, "the starter package belongs to the test environment"

    found = run_json(str(model.path))

    assert found["file_bytes"] == model.file_bytes
    assert found["fits"]


@pytest.mark.process
def test_measurements_of_this_board_become_the_estimate(home):
    from edgechat.board.probe.probe import probe

    model = starter()
    assert model is not None
    how = Measurement("mmap", False, 64, 2, 0, "f16", 4096, 250.0, 111.0, 0.2, 240_000_000, "")
    keep(Paths.from_env(), probe(), file_key(model.name, model.quant, model.file_bytes), [how])

    found = run_json(f"{model.name}:{model.quant}")

    assert found["estimated"] == {"prefill_tps": 250.0, "decode_tps": 111.0, "basis": "calibrated"}
    assert found["n_ubatch"] == 64
    # Another board is not this one.
    assert run_json(f"{model.name}:{model.quant}", "--board", "pi5-4gb")["estimated"]["basis"] == "published"


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        (["qwen2.5-1.5b-instrukt"], ModelNotFoundError, "qwen2.5-1.5b-instruct"),
        (["qwen2.5-1.5b-instruct:q2_k"], ModelNotFoundError, "Q4_K_M"),
        (["./nowhere.gguf"], ModelNotFoundError, "nowhere.gguf"),
        (["somebody/some-repo"], ModelNotFoundError, "edgechat models pull somebody/some-repo"),
        (["--board", "pi9"], UsageError, "pi5-8gb"),
        ([" "], UsageError, "best one"),
    ],
)
def test_what_cannot_be_planned_is_named_with_the_way_out(args, error, text):
    with pytest.raises(error) as raised:
        run(*args)

    assert text in str(raised.value)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    file = tmp_path / "page.gguf"
    file.write_text("<html>")

    with pytest.raises(InvalidModelFileError):
        run(str(file))
