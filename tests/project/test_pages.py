"""The pages for people name everything that the code has: settings, flags, errors of a record."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from edgechat.config import Config
from edgechat.tasks.contract import Status
from edgechat.tasks.translate.result import Flag

ROOT = Path(__file__).parents[2]


def rows(page: str) -> set[str]:
    """What stands in backquotes in the first column of the tables of a page."""
    cells = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_setting_is_on_its_page():
    assert {each.name for each in fields(Config)} - {"origins"} <= rows("settings.md")


def test_every_flag_of_a_translation_and_every_status_is_on_the_page_of_tasks():
    assert set(get_args(Flag)) | set(get_args(Status)) == rows("tasks.md")


def test_every_link_between_the_pages_leads_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
