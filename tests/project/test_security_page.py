"""docs/security.md claims what a test shows: each line of its tables names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    written = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert {name for name in named if f"def {name}(" not in written} == set()


def test_every_line_of_the_tables_names_a_test() -> None:
    """Of the tables of claims, whose last column is for it; what a script printed needs none."""
    rows = [
        line
        for block in PAGE.split("\n\n")
        if block.partition("\n")[0].endswith("| test |")
        for line in block.strip().splitlines()[2:]
    ]
    assert len(rows) > 30
    assert [row for row in rows if not re.search(r"\| `test_\w+`(, `test_\w+`)* \|$", row)] == []


def test_every_section_of_claims_names_a_test() -> None:
    """But what is trusted, and how to report, are no claims."""
    sections = PAGE.split("\n## ")[1:]
    assert [each.partition("\n")[0] for each in sections if "`test_" not in each] == ["What is trusted"]


def test_the_drill_of_the_eleven_attacks_names_the_same_tests() -> None:
    from scripts.drills.eleven_attacks import ATTACKS

    (rows,) = [each for each in PAGE.split("\n\n") if each.startswith("| attack | 311c541 |")]
    for number, (_, _, test) in ATTACKS.items():
        (row,) = [each for each in rows.splitlines() if each.startswith(f"| {number}. ")]
        assert f"`{test}`" in row


def test_the_report_address_leads_to_the_page() -> None:
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
