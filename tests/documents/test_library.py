"""The index: adding again, searching in three languages, and what survives a kill and a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from edgechat.documents.add import add
from edgechat.documents.library import Library, index_file
from edgechat.documents.retrieval import best_part
from edgechat.errors import StateError, UsageError
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

PUMP = Path(__file__).parent / "data" / "pump.md"
JA = (
    "# 冷却ポンプ\n\n## 保守\n\nストレーナーは毎週清掃します。軸シールは8,000時間ごとに交換します。\n\n"
    "# 廃棄\n\n冷却液は業者に渡します。\n"
)


@pytest.fixture
def library(paths: Paths) -> Any:
    with Library.open(paths) as opened:
        yield opened


def put(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def content(library: Library) -> list[tuple[str, str]]:
    rows = library.database.rows(
        "SELECT s.text, w.terms FROM section s LEFT JOIN section_words w ON w.rowid = s.id"
        " ORDER BY s.document, s.position"
    )
    return [(row["text"], row["terms"]) for row in rows]


def test_the_right_section_is_found(library: Library) -> None:
    add(library, [PUMP], "pump")
    for question, heading in [
        ("What does error E-402 mean?", "5.1 Error codes"),
        ("how tight are the mounting bolts", "2.1 Mounting"),
        ("Which fuse does the KX-200B need?", "2.3 Electrical connection"),
    ]:
        best = library.search(question, 1)[0]
        assert best_part(question, best)[0].endswith(f" › {heading}"), question


def test_japanese_is_found_by_pairs_of_characters(library: Library, tmp_path: Path) -> None:
    add(library, [put(tmp_path, "ja.md", JA)], "ja")
    assert "8,000時間" in library.search("軸シールはいつ交換しますか。", 1)[0].text
    assert "業者" in library.search("冷却液の廃棄", 1)[0].text


def test_chinese_is_found(library: Library, tmp_path: Path) -> None:
    add(library, [put(tmp_path, "zh.txt", "更换密封件\n==========\n\n请先关闭主开关并等待五分钟。\n")], "zh")
    assert library.search("关闭主开关以后要等多久？", 1)


def test_a_search_operator_is_text(library: Library) -> None:
    add(library, [PUMP], "pump")
    for text in ['"', "a OR", "NEAR(x y)", "headings:pump", "*", "E-401 AND NOT", "'; DROP TABLE section; --"]:
        library.search(text, 5)
    assert library.search("E-401", 1)


def test_adding_again_reads_only_what_changed_and_keeps_numbers(library: Library, tmp_path: Path) -> None:
    file = put(tmp_path, "a.md", "# A\n\n" + "alpha " * 500 + "\n\n# B\n\n" + "beta " * 500)
    assert add(library, [file], "x").added
    before = {section.headings: section.id for section in library.sections(1)}
    assert add(library, [file], "x").unchanged == [str(file)]
    put(tmp_path, "a.md", "# A\n\n" + "alpha " * 500 + "\n\n# B\n\n" + "gamma " * 500)
    report = add(library, [file], "x")
    assert report.sections == 2  # one gone, one new
    after = {section.headings: section.id for section in library.sections(1)}
    assert after[("A",)] == before[("A",)]
    assert after[("B",)] != before[("B",)]
    assert not library.search("beta", 5)
    assert library.search("gamma", 5)


def test_bad_files_are_named_and_skipped_and_the_old_text_stays(library: Library, tmp_path: Path) -> None:
    good = put(tmp_path, "good.md", "# Good\n\ntext\n")
    bad = put(tmp_path, "bad.docx", "no zip")
    report = add(library, [tmp_path], "x")
    assert report.added == [str(good)]
    assert [each.path for each in report.skipped] == [str(bad)]
    assert "bad.docx" in report.skipped[0].reason
    good.write_bytes(bytes(range(256)) * 20)
    assert add(library, [good], "x").skipped
    assert library.search("text", 1)


def test_names(library: Library, tmp_path: Path) -> None:
    add(library, [PUMP], "line 2")
    for name in ("line 2", "pump.md", "#1", "KX-200 Coolant Pump: Operating Manual", str(PUMP)):
        assert [each.id for each in library.documents(name)] == [1]
    with pytest.raises(UsageError, match="nothing"):
        library.documents("nothing")
    library.remove(library.documents("#1"))
    assert not library.documents()
    assert not content(library)
    assert not library.search("E-401", 3)


def test_it_is_read_beside_a_running_add(library: Library, paths: Paths, tmp_path: Path) -> None:
    add(library, [PUMP], "pump")
    with library.database.transaction() as connection, Library.open_to_read(paths) as reader:
        connection.execute("DELETE FROM section_words")
        connection.execute("DELETE FROM document")
        assert reader.search("E-401", 1)


class _Counted(sqlite3.Connection):
    """Counts statements, and does something at one of them."""

    count = 0
    at = 0
    act: ClassVar[Callable[[], None]] = lambda: None

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        type(self).count += 1
        if self.count == self.at:
            type(self).act()
        return super().execute(*arguments)


def _old_and_new(tmp_path: Path, paths: Paths) -> tuple[Path, list[Any], list[Any]]:
    """A file whose old text is in the index, and the index's content before and after its new text."""
    file = put(tmp_path, "a.md", "# A\n\n" + "alpha " * 500 + "\n\n# B\n\nbeta\n")
    with Library.open(paths) as library:
        add(library, [file], "x")
        before = content(library)
    put(tmp_path, "a.md", "# A\n\n" + "alpha " * 500 + "\n\n# C\n\n" + "gamma " * 700 + "\n\n# D\n\n" + "delta " * 700)
    scratch = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "scratch")})
    with Library.open(scratch) as library:
        add(library, [file], "x")
        after = content(library)
    assert before != after
    return file, before, after


@pytest.mark.process
def test_kill_at_every_statement_leaves_the_old_document_or_the_new_one(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, before, after = _old_and_new(tmp_path, paths)
    original = index_file(paths).read_bytes()
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    seen, point = set(), 0
    while True:
        point += 1
        for each in index_file(paths).parent.iterdir():
            each.unlink()
        index_file(paths).write_bytes(original)
        child = os.fork()
        if not child:
            try:
                _Counted.at, _Counted.count, _Counted.act = point, 0, kill
                sqlite3.connect = partial(sqlite3.connect, factory=_Counted)  # type: ignore[assignment]
                with Library.open(paths) as library:
                    add(library, [file], "x")
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        with Library.open(paths) as library:
            assert library.database.row("PRAGMA integrity_check")[0] == "ok"
            found = content(library)
        assert found in (before, after), f"killed at statement {point}"
        seen.add(found == after)
        if not status:
            break
    assert seen == {True, False}
    assert point > 15


def _outcome(library: Library, file: Path) -> str:
    try:
        add(library, [file], "x")
    except StateError as error:
        return "full" if "disk is full" in str(error) else str(error)
    return "added"


def test_a_full_disk_at_every_page_leaves_the_old_document_or_the_new_one(paths: Paths, tmp_path: Path) -> None:
    file, before, after = _old_and_new(tmp_path, paths)
    outcomes = []
    with Library.open(paths) as library:
        pages = library.database.row("PRAGMA page_count")[0]
        for more in range(40):
            library.database.rows(f"PRAGMA max_page_count = {pages + more}")
            outcomes.append(_outcome(library, file))
            assert outcomes[-1] in {"added", "full"}
            assert content(library) == (after if outcomes[-1] == "added" else before)
            if outcomes[-1] == "added":
                break
        assert library.database.row("PRAGMA integrity_check")[0] == "ok"
    assert outcomes[0] == "full"
    assert outcomes[-1] == "added"
