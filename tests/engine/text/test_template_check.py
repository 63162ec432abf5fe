"""A new template is tried in a child that cannot hurt; its verdict is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.text import template_check
from edgechat.engine.text.chat_template import CHATML
from edgechat.engine.text.template_check import TemplateCheck, Verdict, examine
from edgechat.errors import EngineError, InvalidModelFileError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

GOOD = Verdict("", takes_system=True)
FOREVER = (
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
)


def vet(source: str, cache: Path) -> Verdict:
    return TemplateCheck(source, bos="<s>", eos="</s>", cache=cache).verdict()


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "templates").glob("*"))


@pytest.mark.process
def test_a_sound_template_passes_and_is_not_tried_again(tmp_path, monkeypatch):
    assert vet(CHATML, tmp_path) == GOOD
    assert len(kept(tmp_path)) == 1
    monkeypatch.setattr(template_check, "_start_child", lambda: pytest.fail("tried again"))
    assert vet(CHATML, tmp_path) == GOOD


@pytest.mark.process
def test_another_text_or_another_beginning_token_is_another_verdict(tmp_path):
    vet(CHATML, tmp_path)
    vet(CHATML + " ", tmp_path)
    TemplateCheck(CHATML, bos="<other>", eos="</s>", cache=tmp_path).verdict()
    assert len(kept(tmp_path)) == 3


@pytest.mark.process
def test_loops_that_never_end_are_stopped_by_the_childs_processor_time(tmp_path):
    with pytest.raises(InvalidModelFileError, match="more than 2 s") as caught:
        vet(FOREVER + CHATML, tmp_path)
    assert "models list" in caught.value.hint
    assert len(kept(tmp_path)) == 1, "a verdict that holds for every machine is kept"


@pytest.mark.process
def test_what_python_computes_in_one_go_is_stopped_too(tmp_path):
    """Equality of nested lists is one operation that runs for ages without a look at any clock."""
    pair = "{% set n = namespace(x=[1], y=[1]) %}"
    grow = "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}"
    with pytest.raises(InvalidModelFileError, match="more than 2 s"):
        vet(pair + grow + "{{ n.x == n.y }}" + CHATML, tmp_path)


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for %}", "cannot be used"),
        ("{{ 'x' * 10000000000 }}", "more text than"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("You say nothing.", "leaves out what the user says"),
        ("{% for m in messages %}{{ m.content[:100] }}{% endfor %}", "leaves out what the user says"),
        ("{{ raise_exception('never') }}", "never"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}{{ 1 / 0 }}{% endif %}",
            "division",
        ),
    ],
)
def test_a_refusal_says_why(source, why, tmp_path):
    with pytest.raises(InvalidModelFileError, match=why):
        vet(source, tmp_path)


@pytest.mark.process
@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"fault": 5, "takes_system": true}', '{"fault": ""}', "\0"])
def test_a_damaged_verdict_is_made_again(damage, tmp_path):
    vet(CHATML, tmp_path)
    kept(tmp_path)[0].write_text(damage)
    assert vet(CHATML, tmp_path) == GOOD
    assert json.loads(kept(tmp_path)[0].read_text()) == {"fault": "", "takes_system": True}


@pytest.mark.process
def test_a_cache_that_cannot_be_written_costs_no_answer(tmp_path, capfd):
    cache = tmp_path / "file"
    cache.write_text("in the way")
    assert vet(CHATML, cache) == GOOD
    assert "not kept" in capfd.readouterr().err


@pytest.mark.process
def test_a_child_that_was_killed_says_nothing_about_the_template(tmp_path):
    """A machine short of memory once marked a sound model as unusable for good."""
    trial = TemplateCheck(CHATML, bos="", eos="", cache=tmp_path)
    assert trial._child is not None
    trial._child.kill()
    with pytest.raises(EngineError, match="Memory ran out"):
        trial.verdict()
    assert kept(tmp_path) == []
    assert TemplateCheck(CHATML, bos="", eos="", cache=tmp_path).verdict() == GOOD


@pytest.mark.process
def test_an_abandoned_trial_leaves_no_process_behind(tmp_path):
    trial = TemplateCheck(FOREVER + CHATML, bos="", eos="", cache=tmp_path)
    child = trial._child
    assert child is not None
    trial.abandon()
    assert child.returncode == -9
    trial.abandon()


def test_a_template_without_a_place_for_the_system_message_passes_without_it():
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[-1].content }}"
    assert examine(source, bos="", eos="") == Verdict("", takes_system=False)
