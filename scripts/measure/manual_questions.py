"""Measure answers from manuals: is the right section found, is the answer closed, are refusals said?

    python scripts/measure/manual_questions.py MANUALS_DIR [--answers -m MODEL [--only b01,p02]] [--out FILE]

MANUALS_DIR holds the unpacked Debian packages that tests/documents/data/manual_questions.json names, one directory
``x_PACKAGE`` each (``apt-get download PACKAGE``, ``dpkg-deb -x PACKAGE_*.deb x_PACKAGE``). The index is made anew in a
temporary EDGECHAT_HOME unless EDGECHAT_HOME is set. Retrieval needs no model. Prints one line a question and the sums.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgechat.documents.add import add
from edgechat.documents.library import Library
from edgechat.paths import Paths
from edgechat.tasks.manual.choice import LEAST_MATCHED

DATA = Path(__file__).resolve().parents[2] / "tests" / "documents" / "data"
FIRST = 3
"""Sections among which the right one counts as found."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manuals", type=Path)
    parser.add_argument("--answers", action="store_true", help="ask the model too")
    parser.add_argument("-m", "--model")
    parser.add_argument("--held-out", action="store_true", help="the questions that no rule was chosen with")
    parser.add_argument("--only", default="", help="ids of questions, separated by commas")
    parser.add_argument("--out", type=Path, help="append each answer as a JSON line")
    options = parser.parse_args()
    made = json.loads((DATA / "manual_questions.json").read_text(encoding="utf-8"))
    wanted = set(filter(None, options.only.split(",")))
    questions = made["held_out" if options.held_out else "questions"]
    questions = [each for each in questions if not wanted or each["id"] in wanted]
    manuals = {name: made["manuals"][name] for name in dict.fromkeys(each["manual"] for each in questions)}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("EDGECHAT_HOME", scratch)
        paths = Paths.from_env()
        with Library.open(paths) as library:
            for name, manual in manuals.items():
                folder = options.manuals / f"x_{manual['package']}" if manual["package"] else DATA
                began = time.monotonic()
                report = add(library, [folder / manual["file"]], name)
                for skipped in report.skipped:
                    print(skipped.reason)
                print(f"{name}: {report.sections} new sections, {time.monotonic() - began:.1f} s")
            retrieval(library, questions)
        if options.answers:
            answers(questions, paths, options)
    return 0


def retrieval(library: Library, questions: list[dict[str, Any]]) -> None:
    ranks, seconds = [], []
    refused = wrongly = 0
    for each in questions:
        among = library.documents(each["manual"])
        began = time.monotonic()
        found = library.search(each["question"], 10, among)
        seconds.append(time.monotonic() - began)
        is_refused = library.matched(each["question"], found[:2], among) < LEAST_MATCHED
        if not each["headings"]:
            refused += is_refused
            continue
        wrongly += is_refused
        hits = [
            rank
            for rank, section in enumerate(found, 1)
            if any(_is_in(heading, section.headings, section.text) for heading in each["headings"])
        ]
        ranks.append(hits[0] if hits else 99)
        if ranks[-1] > 1:
            shown = "; ".join(section.headings[-1][:40] if section.headings else "-" for section in found[:3])
            print(f"{each['id']} rank {ranks[-1]}: {each['question'][:60]} -> {shown}")
    if ranks:
        first, three = sum(rank == 1 for rank in ranks), sum(rank <= FIRST for rank in ranks)
        print(f"Right section first: {first}/{len(ranks)}; among the first {FIRST}: {three}/{len(ranks)}")
        n_missing = sum(not each["headings"] for each in questions)
        print(f"Refused by rule: {refused}/{n_missing} of what is not there, {wrongly}/{len(ranks)} of what is")
        print(f"Search: median {statistics.median(seconds) * 1000:.1f} ms, worst {max(seconds) * 1000:.1f} ms")


def _is_in(heading: str, headings: tuple[str, ...], text: str) -> bool:
    """A heading of the path, or one that was joined into the text."""
    return any(heading.casefold() in each.casefold() for each in headings) or any(
        line.startswith(("## ", "### ")) and heading.casefold() in line.casefold() for line in text.split("\n")
    )


def answers(questions: list[dict[str, Any]], paths: Paths, options: argparse.Namespace) -> None:
    from edgechat.engine.protocol.request import Wish
    from edgechat.tasks.generator import EngineGenerator
    from edgechat.tasks.manual.task import Manual
    from edgechat.tasks.runner import run_task

    task, generator = Manual(paths), EngineGenerator(paths, Wish.of(options.model, 4096))
    sums: dict[str, int] = dict.fromkeys(
        ("asked", "found", "cited right", "expected words", "flagged", "refused right", "not there", "not ok"), 0
    )
    context = generator.identify().context()
    for each in questions:
        record = {"question": each["question"], "documents": each["manual"]}
        done = run_task(task, record, generator=generator, context=context)
        result = done.result or {}
        is_found = bool(result.get("found"))
        sums["asked"] += 1
        sums["not ok"] += done.status != "ok"
        if each["headings"]:
            sums["found"] += is_found
            cited = [citation["heading"] for citation in result.get("citations", [])]
            sums["cited right"] += any(heading in path for heading in each["headings"] for path in cited)
            words = f"{result.get('answer', '')} {[quote['text'] for quote in result.get('quotes', [])]}"
            sums["expected words"] += is_found and all(word in words for word in each.get("expects", []))
        else:
            sums["not there"] += 1
            sums["refused right"] += not is_found and done.status == "ok"
        sums["flagged"] += bool(result.get("flags"))
        line = {"id": each["id"], "question": each["question"], "status": done.status, **result}
        line["timing"] = {name: round(value, 2) for name, value in done.timing.items()}
        line["errors"] = [problem.message for problem in done.errors]
        print(json.dumps(line, ensure_ascii=False), flush=True)
        if options.out:
            with options.out.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    generator.close()
    print(json.dumps(sums))


if __name__ == "__main__":
    sys.exit(main())
