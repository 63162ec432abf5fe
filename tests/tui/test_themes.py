"""The colours of questions and answers, in our themes and in Textual's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.theme import Theme

from edgechat.chat.history import History
from tests.tui.kit import drive, until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


def test_a_theme_may_colour_questions_and_answers(app: EdgechatApp, paths: Paths) -> None:
    with History.open(paths) as history:
        talk = history.start(title="Ripple")
        history.add_question(talk.id, "What now?")
        with history.start_answer(talk.id, "m", "Q4_K_M") as answer:
            answer.append("Measure.")
            answer.finish("stop", usage={}, timing={})
    mine = Theme("mine", primary="#336699", variables={"question-text": "#ff0000", "answer-text": "#00ff00"})

    async def story(pilot: Pilot[None]) -> None:
        await app.chat.open(talk.id)
        await until(pilot, lambda: len(app.chat.message_list.views) == 2)

        def colours() -> list[str]:
            return [view.styles.color.hex.lower() for view in app.chat.message_list.views]

        foreground = app.current_theme.foreground
        assert colours() == [foreground, foreground]
        app.register_theme(mine)
        app.theme = "mine"
        await until(pilot, lambda: colours() == ["#ff0000", "#00ff00"])
        app.theme = "textual-dark"  # knows none of these variables
        await until(pilot, lambda: colours()[0] == colours()[1] != "#ff0000")

    drive(app, story)
