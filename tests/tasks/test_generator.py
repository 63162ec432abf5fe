"""The generator that asks the engine: a question gets the form of answer that it asks for."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.engine.protocol.request import Message
from edgechat.errors import EdgechatError
from edgechat.tasks.contract import Ask, Outcome
from edgechat.tasks.generator import EngineGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.paths import Paths

COLORS = (Message("user", "Name three colors, one a line."),)
NOTHING: Outcome[Any] = Outcome(None)


@pytest.fixture
def generator(paths: Paths) -> Iterator[EngineGenerator]:
    with contextlib.closing(EngineGenerator(paths)) as made:
        yield made
    client.stop(paths)


@pytest.mark.engine
def test_plain_text_ends_at_a_stop_matches_an_expression_or_is_cut_off(generator):
    line = generator.generate(Ask(COLORS, None, 30, NOTHING, stop=("\n",)), timeout_s=60, seed=0)
    assert (line.finish_reason, line.value) == ("stop", line.text)
    assert line.text
    assert "\n" not in line.text
    number = generator.generate(Ask(COLORS, None, 30, NOTHING, regex="[0-9]{3}"), timeout_s=60, seed=0)
    assert re.fullmatch("[0-9]{3}", number.value)
    cut = generator.generate(Ask(COLORS, None, 2, NOTHING), timeout_s=60, seed=0)
    assert (cut.finish_reason, cut.value) == ("length", None)
    assert cut.text


@pytest.mark.parametrize("form", [{"regex": "a"}, {"stop": ("\n",)}])
def test_a_question_asks_for_json_or_for_text(form):
    with pytest.raises(EdgechatError, match="not both"):
        Ask(COLORS, {"type": "string"}, 8, NOTHING, **form)
