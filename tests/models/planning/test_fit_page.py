"""docs/fit.md says what the speed model reaches and what each board is recommended; scripts/speed_model/fit_page.py."""

from __future__ import annotations

from edgechat.board.probe.board_file import known_names
from scripts.speed_model import fit_page
from tests.models.planning.board_plans import plan_of


def test_the_tables_are_those_that_the_code_makes(monkeypatch):
    monkeypatch.setattr(fit_page, "recommended", plan_of)
    text = fit_page.PAGE.read_text(encoding="utf-8")

    wanted = fit_page.page(text)

    assert text.splitlines() == wanted.splitlines(), "run: python -m scripts.speed_model.fit_page --write"
    assert fit_page.score() in text


def test_every_known_board_is_in_a_table():
    rows = [
        line.split("|")[1].strip() for line in fit_page.PAGE.read_text(encoding="utf-8").splitlines() if "|" in line
    ]

    assert set(known_names()) <= set(rows)
