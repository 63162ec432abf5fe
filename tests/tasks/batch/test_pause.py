"""A batch pauses between records while the engine is throttled."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.tasks.batch.test_batch import SAID, run, scenes, write_lines
from tests.tasks.scripted import ScriptedGenerator

if TYPE_CHECKING:
    from pathlib import Path


class Sparing(ScriptedGenerator):
    """Says after its first answer, as the engine would, that it spares the board."""

    def __init__(self, said: Any) -> None:
        super().__init__(said)
        self.pause_s = 0.0
        self.asked: list[float] = []

    def generate(self, ask: Any, **options: Any) -> Any:
        self.asked.append(time.monotonic())
        answer = super().generate(ask, **options)
        self.pause_s = 0.1
        return answer


def test_records_wait_as_long_as_the_engine_says(tmp_path: Path) -> None:
    generator = Sparing(SAID)
    source = write_lines(tmp_path / "in.jsonl", [{"id": f"r{i}", **scene} for i, scene in enumerate(scenes(4))])
    _, results = run(source, generator=generator)
    assert [result["id"] for result in results] == ["r0", "r1", "r2", "r3"]
    assert len(generator.asked) == 4
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(generator.asked))
