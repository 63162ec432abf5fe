"""``docs/edgechat.1`` is what the commands' help says now."""

from __future__ import annotations

from scripts.workshop.man_page import PAGE, page


def test_the_manual_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/workshop/man_page.py"


def test_every_command_is_on_it() -> None:
    text = page().replace("\\-", "-")
    for command in ("ask", "models pull", "models keys rotate", "history export", "completion"):
        assert f'"edgechat {command} ' in text or f'"edgechat {command}"' in text
