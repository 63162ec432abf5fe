"""Measure what preparing sections of a manual costs and saves: seconds, bytes, time to the first token.

    python scripts/measure/prepared_sections.py FILE -m MODEL [-n SECTIONS]

FILE is a document of `edgechat docs add`. Works in a temporary EDGECHAT_HOME. Each section is asked about twice after a
restart of the engine, once with its state on disk and once without; the model is loaded before either. Prints one JSON
line a section and the medians. Give the machine nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgechat.documents import prepared
from edgechat.documents.add import add
from edgechat.documents.library import Library
from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.paths import Paths
from edgechat.tasks.manual import question as prompt
from edgechat.tasks.manual.prepare import Preparation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.documents.stored import StoredSection

QUESTION = "What does this section say?"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("-n", "--sections", type=int, default=20)
    options = parser.parse_args()
    wish = Wish.of(options.model, 4096)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["EDGECHAT_HOME"] = scratch
        paths = Paths.from_env()
        try:
            with Library.open(paths) as library:
                add(library, [options.file], "measured")
                (document,) = library.documents()
                sections = sorted(library.sections(document.id), key=lambda each: -each.tokens)[: options.sections]
                with contextlib.closing(EngineClient(paths)) as engine:
                    work = Preparation(library, paths, engine, wish)
                    made = list(work.run(sections, may_go_on=lambda: ""))
                pages = document.pages or 0
            with_state = _first_tokens(paths, wish, sections)
            shutil.rmtree(prepared.state_directory(paths))
            without = _first_tokens(paths, wish, sections)
        finally:
            client.stop(paths)
    for read, warm, cold in zip(made, with_state, without, strict=True):
        line = {"tokens": read.tokens, "estimate": read.section.tokens, "prepare_s": read.seconds, "bytes": read.bytes}
        print(json.dumps({**line, "ttft_prepared_s": warm, "ttft_unprepared_s": cold}))
    ratio = statistics.median(warm / cold for warm, cold in zip(with_state, without, strict=True))
    tokens, seconds = sum(each.tokens for each in made), sum(each.seconds for each in made)
    per_page = document.tokens / pages if pages else 0
    facts = {
        "sections": len(made),
        "ttft_prepared_s": round(statistics.median(with_state), 3),
        "ttft_unprepared_s": round(statistics.median(without), 3),
        "median_ratio": round(ratio, 3),
        "bytes_per_token": round(sum(each.bytes for each in made) / tokens),
        "tokens_per_s": round(tokens / seconds, 1),
        "prepare_s_per_page": round(per_page * seconds / tokens, 2),
        "sections_per_idle_hour": round(3600 * len(made) / seconds),
        "estimate_of_tokens": round(sum(each.section.tokens for each in made) / tokens, 3),
    }
    print(json.dumps(facts))
    return 0


def _first_tokens(paths: Paths, wish: Wish, sections: Sequence[StoredSection]) -> list[float]:
    """Seconds to the first token of a question to each section, by an engine that was just started."""
    client.stop(paths)
    found = []
    with contextlib.closing(EngineClient(paths)) as engine:
        _first_token(engine, Request((Message("user", "Hi"),), wish=wish, max_tokens=1))
        for section in sections:
            request = Request(prompt.messages(QUESTION, [section]), wish=wish, max_tokens=1)
            found.append(_first_token(engine, request))
    return found


def _first_token(engine: EngineClient, request: Request) -> float:
    began = time.monotonic()
    first = 0.0
    for event in engine.generate(request):
        if isinstance(event, Text) and not first:
            first = time.monotonic() - began
    return round(first or time.monotonic() - began, 3)


if __name__ == "__main__":
    sys.exit(main())
