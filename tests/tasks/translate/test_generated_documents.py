"""Documents made by rules, translated by a model that only marks its text, and compared by independent readers.

Every text is seen to have been translated exactly once, and nothing else has changed.
"""

from __future__ import annotations

import io
import random
import re
from typing import Any

import pytest

from edgechat.engine.protocol.request import Wish
from edgechat.paths import Paths
from edgechat.tasks.batch.job import Job, JobReport, run_job
from edgechat.tasks.registry import load
from tests.tasks.scripted import ScriptedGenerator
from tests.tasks.translate.document_readers import READERS
from tests.tasks.translate.document_rules import RULES

PER_FORMAT = 20
MARKED = re.compile(r"«((?:(?!«).)*?) ok»", re.DOTALL)
ICU = re.compile(r",\s*(?:plural|select)\s*,")
FIXED = re.compile(r"<[^<>]*>|\{[^{}]*\}|%(?:\d\$)?[a-z@%]+|\\0|&\w+;")


class Marking(ScriptedGenerator):
    """A model that returns the text it was asked for with marks around it."""

    def generate(self, ask: Any, **options: Any) -> Any:
        self.value = f"«{ask.messages[-1].content} ok»"
        return super().generate(ask, **options)


def translate(source: Any, out: Any, **options: Any) -> JobReport:
    # The texts are English, so their copies pass for translations into English.
    job = Job(source=str(source), out=out, fields={"source": "fr", "target": "en"}, keeps_answers=False, **options)
    return run_job(
        job, load("translate"), Paths.from_env(), Wish(), stdin=io.BytesIO(), stdout=io.BytesIO(), generator=Marking
    )


def assert_translated_once(source: str, written: str) -> None:
    words = " ".join(source.split())
    assert " ".join(MARKED.sub(r"\1", written).split()) == words
    if ICU.search(source):
        branches = [each for each in re.findall(r"\{([^{}]*)\}", MARKED.sub("«»", written)) if each != "n"]
        assert branches
        assert all(each.strip() == "«»" for each in branches), written
        return
    assert not re.search(r"[^\W\d_]", FIXED.sub("", MARKED.sub("", written))), written
    assert ("«" in written) == bool(re.search(r"[^\W\d_]", FIXED.sub("", source))), (source, written)


@pytest.mark.process  # msgfmt, of GNU gettext, reads the PO files
@pytest.mark.parametrize("seed", range(PER_FORMAT))
@pytest.mark.parametrize("form", sorted(RULES))
def test_a_document_made_by_rules_changes_in_its_texts_alone(form, seed, tmp_path):
    made = RULES[form](random.Random(f"{form} {seed}"))
    source, out = tmp_path / made.name, tmp_path / f"out-{made.name}"
    source.write_bytes(made.data)
    report = translate(source, out, **dict(made.options))
    assert source.read_bytes() == made.data
    assert (report.run.incomplete, report.run.told, report.tally.not_ok) == (0, [], 0)
    pairs = READERS[form](made.data, out.read_bytes(), tmp_path)
    assert pairs
    for before, after in pairs:
        assert_translated_once(before, after)
