"""What each reader finds in a small document of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.documents.add import read_file
from edgechat.documents.limits import UnreadableDocumentError
from tests.documents.docx_file import heading, item, paragraph, table, write_docx
from tests.documents.pdf_file import write_pdf

if TYPE_CHECKING:
    from pathlib import Path


def places(file: Path) -> list[tuple[str, ...]]:
    return [section.headings for section in read_file(file)[1]]


def whole(file: Path) -> str:
    return "\n".join(section.text for section in read_file(file)[1])


def long(words: str) -> str:
    """A paragraph that is not joined with another section's."""
    return f"{words} " * 450


def test_markdown_keeps_headings_steps_and_table_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text(
        f"---\ntitle: Pump\n---\n# One\n\n{long('alpha')}\n\n## Two\n\n1. Open the valve.\n2. Close it.\n\n"
        "| Code | Meaning |\n|---|---|\n| E-1 | hot |\n\n```\n# no heading\n```\n"
    )
    document, found, _ = read_file(file)
    assert document.title == "Pump"
    assert [section.headings for section in found] == [("One",), ("One", "Two")]
    assert "1. Open the valve.\n2. Close it." in found[1].text
    assert "| E-1 | hot |" in found[1].text
    assert "# no heading" in found[1].text


def test_text_finds_underlined_and_numbered_headings_and_drops_its_contents(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text(
        f"Contents\n\n1 Start ........ 3\n\nOverview\n========\n\n{long('a b')}\n\n2.1 Wiring\n\n{long('c d')}\n"
    )
    assert places(file) == [(), ("Overview",), ("Overview", "2.1 Wiring")]
    assert "...." not in whole(file)


def test_html_reads_text_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text(
        "<html><head><title>T</title><script>alert(1)</script></head><body><nav>menu</nav><h1>Title¶</h1><p>One<br>two</p>"
        "<ol><li><p>First</p></li><li>Second<ul><li>inner</li></ul></li></ol>"
        "<table><tr><th>Code</th><th>Text</th></tr><tr><td>E-1</td><td>a &lt; b</td></tr></table>"
        "<a href='../../etc/passwd'>link</a><pre>a\n  b</pre></body></html>"
    )
    document, (section,), _ = read_file(file)
    assert document.title == "T"
    assert section.headings == ("Title",)
    for part in ("One\ntwo", "1. First", "2. Second\n  - inner", "Code | Text\nE-1 | a < b", "a\n  b"):
        assert part in section.text
    assert "menu" not in section.text
    assert "alert" not in section.text
    assert "passwd" not in section.text


def test_docx_finds_styles_items_and_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.docx"
    write_docx(
        file, heading("Pump"), paragraph(long("x")), heading("Wiring", 2), item("Switch off."), item("Wait."),
        table(("Fuse", "Size"), ("F1", "10 A")),
    )  # fmt: skip
    found = read_file(file)[1]
    assert [section.headings for section in found] == [("Pump",), ("Pump", "Wiring")]
    assert "- Switch off.\n- Wait." in found[1].text
    assert "Fuse | Size\nF1 | 10 A" in found[1].text


def test_csv_repeats_its_header(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = "\n".join(f"E-{number};meaning number {number};do this" for number in range(400))
    file.write_text(f"Code;Meaning;Remedy\n{rows}\n")
    found = read_file(file)[1]
    assert len(found) > 1
    assert all(section.text.startswith("Code | Meaning | Remedy\n") for section in found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_japanese_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("冷却ポンプの取扱説明書です。フィルターを毎週掃除してください。\n".encode(encoding) * 5)
    assert "フィルターを毎週掃除してください" in whole(file)


def test_chinese_encoding_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("更换密封件之前，请先关闭主开关并等待五分钟，然后打开端子盒的盖子。\n".encode("gb18030") * 5)
    assert "等待五分钟" in whole(file)


@pytest.mark.parametrize("name", ["a.doc", "a.png", "noend"])
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnreadableDocumentError, match=name):
        read_file(tmp_path / name)


def test_binary_under_a_text_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UnreadableDocumentError, match=r"a\.txt"):
        read_file(tmp_path / "a.txt")


def test_html_without_end_tags_of_its_head_and_body(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<head><title>T</title><meta charset=utf-8><p>One<p>Two")
    assert read_file(tmp_path / "a.html")[1][0].text == "One\n\nTwo"


def test_what_cannot_be_decoded_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("Grüße aus dem Handbuch.\n".encode() * 4000 + b"\xff\n")
    assert read_file(file)[0].notes == ["a.txt, read as utf-8: 1 characters could not be read."]


@pytest.mark.process
class TestPdf:
    """These start the reader's process."""

    def test_outline_and_pages(self, tmp_path: Path) -> None:
        file = tmp_path / "a.pdf"
        body = [(f"Line {number} of the text is here.", 10) for number in range(30)]
        write_pdf(
            file, [[("KX pump", 9), ("1 Start", 14), *body], [("KX pump", 9), ("2 Faults", 14), *body],
                   [("KX pump", 9), ("More.", 10), *body]],
            outline=[("Start", 1), ("Faults", 2)], title="KX manual",
        )  # fmt: skip
        document, found, _ = read_file(file)
        assert (document.title, document.pages) == ("KX manual", 3)
        assert [(section.headings, section.first_page) for section in found] == [(("1 Start",), 1), (("2 Faults",), 2)]
        assert found[1].last_page == 3
        assert "KX pump" not in whole(file)  # a running title

    def test_headings_by_size_without_an_outline(self, tmp_path: Path) -> None:
        file = tmp_path / "a.pdf"
        body = [(f"Line {number} of the text is here.", 10) for number in range(40)]
        write_pdf(file, [[("Start", 18), *body], [("Faults", 18), *body]])
        assert places(file) == [("Start",), ("Faults",)]

    def test_a_scan_is_refused_by_name(self, tmp_path: Path) -> None:
        write_pdf(tmp_path / "scan.pdf", [[], []])
        with pytest.raises(UnreadableDocumentError, match=r"scan\.pdf has 2 page\(s\) and no text.*scanned"):
            read_file(tmp_path / "scan.pdf")

    def test_a_page_that_is_not_read_is_named(self, tmp_path: Path) -> None:
        write_pdf(tmp_path / "a.pdf", [[("Text of the page.", 10)], [("x" * 30_000, 1)] * 8])
        (note,) = read_file(tmp_path / "a.pdf")[0].notes
        assert "a.pdf, page 2 was not read" in note

    def test_no_pdf_is_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\ngarbage")
        with pytest.raises(UnreadableDocumentError, match=r"a\.pdf is no PDF, or damaged"):
            read_file(tmp_path / "a.pdf")
