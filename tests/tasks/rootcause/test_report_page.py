"""The report as Markdown and as a page: one template, nothing of the input becomes markup, nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt

from edgechat.tasks.rootcause.sentences import SENTENCES
from edgechat.tasks.rootcause.task import RootCause
from edgechat.tasks.rootcause.texts import (
    CATEGORIES,
    CONFIDENCES,
    FACTS,
    LABELS,
    NOTICE,
    TREND,
    TREND_FIELDS,
    UNKNOWNS,
    WORDED_BY,
)
from edgechat.tasks.runner import run_task
from tests.tasks.rootcause.records import answer, record
from tests.tasks.scripted import ScriptedGenerator

if TYPE_CHECKING:
    from edgechat.tasks.result import TaskResult

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "| a | b |",
    "**bold** _it_ `code` [link](http://example.org) ![p](http://example.org/p.png)",
    "# heading",
    "- item",
    "1. first",
    "> quote",
    "http://example.org www.example.org me@example.org",
    "<http://example.org>",
    "&lt;b&gt; &amp;",
    "\\",
    "~~gone~~",
    "--- \n# two lines",
]


def done(value: Any = None, **changes: Any) -> TaskResult:
    return run_task(RootCause(), record(**changes), generator=ScriptedGenerator(value or answer()), record_id="r-1")


def page(of: TaskResult) -> str:
    return RootCause().render(of, "html")


def markdown(of: TaskResult) -> str:
    return RootCause().render(of, "md")


class Seen(HTMLParser):
    """Tags, attributes and text of a page, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", ["ja", "en", "zh"])
def test_every_format_has_the_same_sections_and_the_notice_at_its_end(language):
    of = done(language=language)
    text, seen = markdown(of), Seen(page(of))
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 8
    assert all(heading in seen.text for heading in headings)
    assert text.rstrip().endswith(f"*{NOTICE[language]}*")
    assert seen.text.rstrip().endswith(NOTICE[language])
    assert f'<html lang="{language}">' in page(of)


def test_the_page_needs_nothing_else_and_prints_on_a4():
    text = page(done())
    seen = Seen(text)
    assert set(seen.tags).isdisjoint({"script", "img", "link", "iframe", "a", "form", "object"})
    assert {name for name, _ in seen.attributes} <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    assert not re.search(r"https?:|//|url\(|@import|src=", text)
    assert "@page { size: A4" in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_the_model_and_the_input_wrote_stays_text(hostile):
    of = done(
        answer(hostile), product_id=hostile, defect_type=hostile, location=hostile,
        process_notes=[{"id": "N1", "text": f"The pump was broken: {hostile}"}],
        log_lines=[{"id": "L1", "text": f"ERROR {hostile}"}], language="en",
    )  # fmt: skip
    assert of.status == "ok"
    plain = done(log_lines=[{"id": "L1", "text": "ERROR"}], language="en", process_notes=record()["process_notes"])
    seen = Seen(page(of))
    assert set(seen.tags) == set(Seen(page(plain)).tags)
    assert " ".join(hostile.split()) in " ".join(seen.text.split())

    parser = MarkdownIt("gfm-like")
    kinds = set()
    for token in parser.parse(markdown(of)):
        kinds.add(token.type)
        kinds.update(child.type for child in token.children or [])
    assert kinds.isdisjoint({"html_block", "html_inline", "link_open", "image", "code_inline", "fence", "code_block",
                             "blockquote_open", "ordered_list_open", "s_open"})  # fmt: skip
    rendered = parser.render(markdown(of))
    assert rendered.count("<h1>") == 1
    assert rendered.count("<table>") == 3
    assert rendered.count("<ul>") == Seen(page(of)).tags.count("ul") + 2  # the head and what people fill in
    assert re.sub(r"\s+", "", hostile) in re.sub(r"\s+", "", Seen(rendered).text)


def test_what_is_cited_can_be_looked_up_notes_as_well_as_log_lines():
    of = done(process_notes=[*record()["process_notes"], {"id": "N2", "text": "Nobody cites this meeting."}])
    assert "| N1 | Stencil changed at 08:40, not cleaned since. |" in markdown(of)
    assert "| L1 | 09:02:11 WARN zone 4 temperature 262 C, limit 255 C |" in markdown(of)
    assert "<td>N1</td><td>Stencil changed at 08:40, not cleaned since.</td>" in page(of)
    for text in (markdown(of), page(of)):
        assert "Nobody cites this" not in text
    assert of.result is not None
    assert [item["id"] for item in of.result["cited_evidence"]] == ["N1", "L1"]


def test_an_incomplete_report_says_so_at_its_head():
    of = run_task(RootCause(), record(), generator=ScriptedGenerator(text="", finish_reason="timeout"))
    assert (
        "**Incomplete: the model's part is missing or was cut off. What is here was composed by rules.**"
        in markdown(of)
    )
    assert Seen(page(of)).tags.index("p") < Seen(page(of)).tags.index("h2")


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_each_hypothesis_says_who_worded_it(language):
    said = "Stencil changed at 08:40, not cleaned."
    told, replaced = done(answer(said), language=language), done(answer("x"), language=language)
    assert f"| {WORDED_BY['model'][language]} |" in markdown(told)
    assert f"| {WORDED_BY['model'][language]} |" not in markdown(replaced)
    assert f"<td>{WORDED_BY['rules'][language]}</td>" in page(replaced)
    assert said in Seen(page(told)).text


def test_provenance_is_printed():
    text = Seen(page(done())).text
    for fact in ("r-1", "scripted:NONE", "0" * 64, done().input_sha256):
        assert fact in text


def test_d5_to_d8_are_left_for_people():
    seen = page(done())
    assert seen.count('class="blank"') == 4
    assert all(f"D{n} " in seen for n in (5, 6, 7, 8))


def test_a_refused_record_is_a_report_of_why():
    of = run_task(RootCause(), record(confidence=2), generator=None)
    assert "/confidence" in markdown(of)
    assert "/confidence" in Seen(page(of)).text


def test_every_word_exists_in_every_language():
    tables = (LABELS, CATEGORIES, CONFIDENCES, FACTS, UNKNOWNS, SENTENCES, WORDED_BY, TREND_FIELDS)
    for table in (*tables, {"notice": NOTICE, "trend": TREND}):
        for name, words in table.items():
            assert set(words) == {"ja", "en", "zh"}, name
            assert all(words.values()), name
            fields = {frozenset(re.findall(r"\{(\w+)\}", text)) for text in words.values()}
            assert len(fields) == 1, name
