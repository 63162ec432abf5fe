"""The manual task with scripted answers: what is asked, what is believed, what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.documents.add import add
from edgechat.documents.library import Library
from edgechat.tasks.batch.report import record_entry
from edgechat.tasks.contract import Context, GeneratedJson
from edgechat.tasks.manual import question as prompt
from edgechat.tasks.manual.passages import stands_in
from edgechat.tasks.manual.task import Manual
from edgechat.tasks.runner import run_task
from tests.tasks.scripted import ScriptedGenerator

if TYPE_CHECKING:
    from edgechat.paths import Paths
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

PUMP = Path(__file__).parents[2] / "documents" / "data" / "pump.md"
FINGERPRINT = "a59404a3ad88df6f"
QUESTION = {"question": "How long must I wait before I open the terminal box?", "documents": "pump"}
QUOTE = (
    "After the main switch is off, wait 5 minutes before you open the cover: the capacitors hold a dangerous charge."
)


@pytest.fixture(autouse=True)
def pump(paths: Paths) -> None:
    with Library.open(paths) as library:
        add(library, [PUMP], "pump")


def asked(value: Any, record: dict[str, Any] = QUESTION) -> tuple[TaskResult, ScriptedGenerator]:
    generator = ScriptedGenerator(value)
    return run_task(Manual(), record, generator=generator), generator


def evidence(record: dict[str, Any] = QUESTION) -> str:
    """The number of the section that comes first in the prompt."""
    _, generator = asked(None, record)
    return str(generator.calls[0].messages[0].content.split("Section ", 1)[1].split(" ", 1)[0])


def test_an_answer_carries_its_place_and_quote(paths: Paths) -> None:
    section = evidence()
    done, generator = asked({"section": section, "quote": QUOTE, "answered": "yes", "answer": "Wait 5 minutes."})
    assert done.status == "ok"
    assert done.result is not None
    assert done.result["found"]
    assert done.result["citations"] == [
        {"section": int(section), "document": "pump.md",
         "heading": "KX-200 Coolant Pump: Operating Manual › 1 Safety › 1.2 Electrical dangers", "page": None}
    ]  # fmt: skip
    assert done.result["quotes"] == [{"section": int(section), "text": QUOTE}]
    assert done.result["flags"] == []
    system, user = generator.calls[0].messages
    assert stands_in(QUOTE, system.content)
    assert user.content.endswith(f"Question: {QUESTION['question']}")
    with Library.open(paths) as library:
        assert library.database.row("SELECT asked FROM section WHERE id = ?", int(section))["asked"] == 2


def test_the_beginning_of_the_prompt_does_not_depend_on_the_question() -> None:
    _, first = asked(None, {"question": "terminal box capacitors", "sections": 1})
    _, second = asked(None, {"question": "electrician terminal box", "sections": 1})
    assert first.calls[0].messages[0] == second.calls[0].messages[0]
    assert first.calls[0].messages[1] != second.calls[0].messages[1]


def test_the_form_of_the_answer_holds_only_what_stands_in_the_sections() -> None:
    _, generator = asked(None)
    options = generator.calls[0].schema["anyOf"]
    texts = "".join(message.content for message in generator.calls[0].messages)
    flat = " ".join(texts.split())
    for option in options:
        assert f"Section {option['properties']['section']['const']} of" in texts
        assert all(quote in flat for quote in option["properties"]["quote"]["enum"])
    assert any(QUOTE in option["properties"]["quote"]["enum"] for option in options)


def test_numbers_codes_and_units_that_are_not_cited_are_flagged() -> None:
    section = evidence()
    value = {
        "section": section,
        "quote": QUOTE,
        "answered": "yes",
        "answer": "Wait 5 seconds. Then press E-777. It may run 2,500 m above sea level.",
    }
    done, _ = asked(value)
    assert done.status == "ok"
    assert done.result is not None
    assert {(flag["kind"], flag["token"]) for flag in done.result["flags"]} == {
        ("unit", "5 s"), ("identifier", "E-777"), ("number", "2,500"),
    }  # fmt: skip
    strict, _ = asked(value, {**QUESTION, "strict": True})
    assert strict.status == "failed"
    assert len(strict.errors) == 3


def test_a_quote_that_stands_nowhere_is_dropped_and_with_it_the_answer() -> None:
    section = evidence()
    done, _ = asked({"section": section, "quote": "Wait for ever.", "answered": "yes", "answer": "Wait."})
    assert done.result is not None
    assert not done.result["found"]
    assert done.result["flags"] == [{"kind": "quote", "token": "Wait for ever.", "sentence": ""}]


def test_where_the_section_does_not_answer_nothing_was_found_and_the_nearest_headings_are_named() -> None:
    done, _ = asked({"section": evidence(), "quote": QUOTE, "answered": "no"})
    assert done.result is not None
    assert (done.status, done.result["found"], done.result["answer"]) == ("ok", False, "")
    assert "1 Safety" in done.result["nearest"][0]["heading"]
    first, *rest = Manual().render(done, "text").splitlines()
    assert first.startswith("scripted found no answer in the sections that it read.")
    read = [each["section"] for each in done.result["read"]]
    others = [each["section"] for each in done.result["nearest"] if each["section"] not in read]
    shown = [line.split("]")[0].lstrip(" [") for line in rest if line.startswith("  [")]
    assert shown == [str(each) for each in (*read, *others)]
    assert "The documents do not" not in first


@pytest.mark.parametrize(
    ("question", "locale", "words"),
    [
        ("capacitors terminal box はいつ?", "en", "scripted は、読んだ節に答えを見つけられませんでした"),
        ("capacitors terminal box 等", "en", "scripted 在读过的章节中没有找到答案"),
        ("terminal box", "zh", "scripted 在读过的章节中没有找到答案"),
        ("terminal box", "ja", "scripted は、読んだ節に答えを見つけられませんでした"),
    ],
)
def test_who_found_nothing_is_said_in_the_language_of_question_and_locale(
    question: str, locale: Language, words: str
) -> None:
    record = {"question": question, "documents": "pump"}
    _, probe = asked(None, record)
    section = probe.calls[0].schema["anyOf"][0]["properties"]
    value = {"section": section["section"]["const"], "quote": section["quote"]["enum"][0], "answered": "no"}
    done = run_task(Manual(), record, generator=ScriptedGenerator(value), context=Context(language=locale))
    assert words in Manual().render(done, "text")


def test_a_question_without_any_of_the_manuals_words_asks_no_model() -> None:
    done, generator = asked(None, {"question": "Zebra crossing giraffe?"})
    assert done.status == "ok"
    assert not generator.calls
    assert done.result is not None
    assert [flag["kind"] for flag in done.result["flags"]] == ["no_match"]
    assert done.result["read"] == []
    assert Manual().render(done, "text").startswith("The documents do not have it in these words:")


def test_a_question_of_which_sections_have_too_little_names_the_nearest() -> None:
    done, generator = asked(None, {"question": "What does error E-499 mean?"})
    assert not generator.calls
    text = Manual().render(done, "text")
    assert text.startswith("No section has enough of the question's words, so no model was asked.")
    assert "5.1 Error codes" in text


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"question": "a pump?", "documents": "nothing"}, "nothing"),
        ({"question": "  "}, "no words"),
        ({"question": "x" * 3000}, "question"),
    ],
)
def test_bad_records_say_what_is_wrong(record: dict[str, Any], words: str) -> None:
    done, _ = asked(None, record)
    assert done.status == "invalid_input"
    assert words in str(done.errors)


def test_two_sections_that_do_not_fit_are_followed_by_one_alone() -> None:
    class Full(ScriptedGenerator):
        def generate(self, ask: Any, *, timeout_s: float | None, seed: int | None) -> GeneratedJson:
            answer = super().generate(ask, timeout_s=timeout_s, seed=seed)
            if "Another section" in ask.messages[1].content:
                return GeneratedJson(finish_reason="failed", error="The prompt is too long.")
            return answer

    generator = Full(finish_reason="length")
    record = {"question": "pump coolant valve switch", "sections": 2}
    done = run_task(Manual(), record, generator=generator)
    assert done.status == "truncated"
    assert ["Another" in call.messages[1].content for call in generator.calls] == [True, False]


def test_a_cut_off_answer_leaves_the_nearest_headings() -> None:
    done = run_task(Manual(), QUESTION, generator=ScriptedGenerator(finish_reason="timeout"))
    assert done.status == "truncated"
    assert done.result is not None
    assert done.result["nearest"]


def test_other_documents_give_other_kept_answers(paths: Paths, tmp_path: Path) -> None:
    before = Manual().depends_on()
    (tmp_path / "b.txt").write_text("More text.")
    with Library.open(paths) as library:
        add(library, [tmp_path / "b.txt"], "other")
    assert Manual().depends_on() != before


def test_text_for_people_has_no_control_characters() -> None:
    section = evidence()
    done, _ = asked({"section": section, "quote": QUOTE, "answered": "yes", "answer": "Wait\x1b[2J 5 minutes."})
    text = Manual().render(done, "text")
    assert "\x1b" not in text
    assert f"[{section}] pump.md" in text
    assert f"“{QUOTE}”" in text


def test_a_change_of_the_fixed_texts_raises_the_version() -> None:
    found = hashlib.sha256(json.dumps([Manual.version, prompt.fingerprint()]).encode()).hexdigest()
    assert found[:16] == FINGERPRINT, "Raise Manual.version if a release had it, raise LAYOUT, then pin this again."


def test_a_report_names_the_kinds_of_flags() -> None:
    done, _ = asked(None, {"question": "Zebra crossing giraffe?"})
    assert record_entry(1, done, frozenset()).flags == ("no_match",)
