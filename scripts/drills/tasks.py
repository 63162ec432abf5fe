#!/usr/bin/env python3
"""Proves what the tasks promise on the real starter model, record by record, with validators that are not edgechat's.

    scripts/drills/tasks.py [--records 200] [--segments 300] [--seed 1] [--only TASK]
    scripts/drills/tasks.py --batch [--records 2000] [--kills 10] [--parallel 1]
    scripts/drills/tasks.py --memory

For each task: records from a seed through `edgechat run`; every result against `tasks show --schema output` by
jsonschema, cited evidence against the input, rule-made numbers against the rules run alone. Then documents in five
forms: what stands between the translated places is the same, placeholders and numbers of each segment are the same or
that segment is flagged, text that gives orders is flagged or translated. Works in a home of its own; prints a Markdown
table; exit 1 on a violation.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from edgechat.tasks.batch.document import TextUnit
from edgechat.tasks.batch.journal import SUFFIX
from edgechat.tasks.registry import load
from edgechat.tasks.runner import run_task
from edgechat.tasks.translate.formats import pieces
from scripts.drills.batch import drill_batch, drill_memory
from scripts.drills.task_records import FORMS, INJECTIONS, MAKERS, document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgechat.tasks.batch.document import Piece

WORDS = {"driving": ("explanation", "explanation_sentences", "explanation_status"), "rootcause": (), "translate": ()}
"""Fields of a result that are a model's; everything else of driving is compared with what the rules say alone."""
PLACEHOLDER = re.compile(r"\{[a-z]+\}|%d|\$\{HOME\}|</?b>|https?://[^\s。]*[a-z0-9]|[a-z0-9]+@example\.com|`[^`]+`")
NUMBER = re.compile(r"[0-9]+")
MARK_FLAGS = frozenset(("number_missing", "number_extra", "placeholder"))
"""Those that say of a segment that its numbers or placeholders are not the source's."""


def edgechat(*arguments: str, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Raises:
        SystemExit: it ended with another code than the ones expected.
    """
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in codes:
        sys.exit(f"edgechat {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done


def faults_of(task: str, record: dict[str, Any], done: dict[str, Any], schema: Draft202012Validator) -> list[str]:
    """What is wrong with one result; empty when every promise was kept."""
    result = done["result"]
    if result is None:
        return [] if done["status"] in {"invalid_input", "truncated", "failed"} and done["errors"] else ["no result"]
    found = [f"schema: {error.json_path} {error.message[:60]}" for error in schema.iter_errors(result)]
    if done["status"] != "ok" and not done["errors"]:
        found.append("not ok without a reason")
    if task == "rootcause":
        known = {item["id"] for item in (*record["process_notes"], *record["log_lines"])}
        claims = [*result["observed_facts"], *result["hypotheses"], *filter(None, [result["escape_hypothesis"]])]
        found += [f"evidence {one}" for claim in claims for one in claim["evidence_ids"] if one not in known]
        if not known and not (result["insufficient_evidence"] and not result["hypotheses"]):
            found.append("hypotheses without evidence")
        if done["status"] == "ok" and not result["complete"]:
            found.append("ok but not complete")
    if task == "driving":
        rules = run_task(load(task), record, generator=None).result or {}
        skip = {*WORDS[task], "countermeasures"}
        found += [f"number {name}" for name in rules if name not in skip and rules[name] != result[name]]
        codes = [[item["code"] for item in each["countermeasures"]] for each in (rules, result)]
        found += ["countermeasure codes"] if codes[0] != codes[1] else []
    if task == "translate":
        if "".join(result["translation"].split()) != "".join(
            "".join(part["target"].split()) for part in result["segments"]
        ):
            found.append("translation is not its segments")
        found += [f"segment: {fault}" for part in result["segments"] for fault in segment_faults(part)]
    return found


def segment_faults(part: dict[str, Any]) -> list[str]:
    """Placeholders and numbers that differ without a flag, and orders that were obeyed without one."""
    found = []
    if differs(part) and not MARK_FLAGS.intersection(part["flags"]):
        found.append(f"numbers or placeholders of {part['source']!r} became {part['target']!r}")
    is_order = any(part["source"] in text or text in part["source"] for text in INJECTIONS)
    if is_order and len(part["source"]) > 12 and not part["flags"]:
        found.append(f"order not flagged: {part['source']!r} became {part['target']!r}")
    return found


def differs(part: dict[str, Any]) -> bool:
    """Whether placeholders or numbers of a segment are others than its source's, as multisets."""
    source, target = (marks(part[side]) for side in ("source", "target"))
    return source != target


def marks(text: str) -> Counter[str | int]:
    """Placeholders and runs of digits, whatever their width; the one number that the records spell is read too."""
    plain = unicodedata.normalize("NFKC", text).replace("三十", "30")
    return Counter[str | int](PLACEHOLDER.findall(text)) + Counter(map(int, NUMBER.findall(plain)))


def drill_task(task: str, count: int, seed: int, directory: Path, parallel: int) -> bool:
    """Run ``count`` records and print one row; True when nothing was violated."""
    random = Random(f"{task}{seed}")
    records = [MAKERS[task](random, number) for number in range(count)]
    source, out = directory / f"{task}.jsonl", directory / f"{task}.out.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    began = time.monotonic()
    flags = ("--no-cache", "--resume", f"--parallel={parallel}")
    edgechat("run", task, str(source), "--out", str(out), *flags, codes=(0, 5))
    took = time.monotonic() - began
    schema = Draft202012Validator(json.loads(edgechat("tasks", "show", task, "--schema", "output").stdout))
    results = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    faults = [
        f"{record['id']}: {fault}"
        for record, done in zip(records, results, strict=True)
        for fault in (faults_of(task, record, done, schema) if done["id"] == record["id"] else ["wrong place"])
    ]
    statuses = Counter(done["status"] for done in results)
    notes = _notes(task, results)
    print(f"| {task} | {count} | {_counts(statuses)} | {len(faults)} | {took:.0f} s | {notes} |", flush=True)
    print("".join(f"  violation: {fault}\n" for fault in faults[:20]), end="", flush=True)
    return not faults


def _notes(task: str, results: list[dict[str, Any]]) -> str:
    whole = [done["result"] for done in results if done["result"]]
    if task == "driving":
        return f"explanations {_counts(Counter(one['explanation_status'] for one in whole))}"
    if task == "rootcause":
        empty = sum(result["insufficient_evidence"] for result in whole)
        cited = sum(len(item["evidence_ids"]) for result in whole for item in result["hypotheses"])
        return f"{cited} ids cited, {empty} without evidence, {sum(len(result['flags']) for result in whole)} flags"
    flags = Counter(flag for result in whole for part in result["segments"] for flag in part["flags"])
    return f"{sum(len(result['segments']) for result in whole)} segments; flags {_counts(flags)}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


def drill_documents(segments: int, seed: int, directory: Path, parallel: int) -> bool:
    """Translate documents of five forms and print a row for each; True when nothing was violated.

    What became of each place is read from the journal of the very run that writes the document, which would be gone
    with its end: segment by segment, a difference in numbers or placeholders has a flag for it there.
    """
    print("\n| form | places | translated | segments | differ | flagged there | violations | took | flags |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    totals: Counter[str] = Counter()
    for form in FORMS:
        random = Random(f"{form}{seed}")
        suffix = "xlf" if form == "xliff" else form
        source, out = directory / f"in.{suffix}", directory / f"out.{suffix}"
        text = document(random, form, -(-segments // len(FORMS)))
        source.write_bytes(text.encode())
        columns = ["--column", "text"] if form == "csv" else []
        fields = ["--field", "source=en", "--field", "target=fr"]
        began = time.monotonic()
        done = journalled(
            out, "run", "translate", str(source), "--out", str(out), *fields, *columns, "--no-cache",
            f"--parallel={parallel}",
        )  # fmt: skip
        took = time.monotonic() - began
        faults, places = document_faults(text, out.read_bytes().decode(), form)
        if sorted(done) != list(range(1, len(places) + 1)):
            faults.append(f"{len(done)} records for {len(places)} places")
        parts = [part for number in sorted(done) for part in (done[number]["result"] or {"segments": []})["segments"]]
        for number, (unit, new) in enumerate(places, 1):
            entry = done.get(number, {"status": "none"})
            told = entry["result"]["translation"] if entry["status"] == "ok" else None
            if new != unit.rewritten(told):
                faults.append(f"place {number} has {new!r}, its record {told!r}")
        faults += [fault for part in parts for fault in segment_faults(part)]
        differing = [part for part in parts if differs(part)]
        found = {
            "places": len(places),
            "changed": sum(new != unit.raw for unit, new in places),
            "segments": len(parts),
            "differing": len(differing),
            "flagged": sum(bool(MARK_FLAGS.intersection(part["flags"])) for part in differing),
            "violations": len(faults),
        }
        totals.update(found)
        flags = _counts(Counter(flag for part in parts for flag in part["flags"]))
        print(f"| {form} | {' | '.join(map(str, found.values()))} | {took:.0f} s | {flags} |", flush=True)
        print("".join(f"  violation: {fault}\n" for fault in faults[:20]), end="", flush=True)
    print(f"| all | {' | '.join(map(str, totals.values()))} | | |", flush=True)
    return not totals["violations"]


def journalled(out: Path, *arguments: str) -> dict[int, dict[str, Any]]:
    """Run the command, and what its journal said of each record: a second name keeps that file beyond the run.

    Raises:
        SystemExit: the run failed, or ended before it had a journal.
    """
    journal, kept = out.with_name(out.name + SUFFIX), out.with_name(out.name + ".kept")
    kept.unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "edgechat", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        while not journal.exists() and child.poll() is None:
            time.sleep(0.01)
        if child.returncode is None:
            os.link(journal, kept)
        said = child.communicate()[1]
    if child.returncode not in {0, 5} or not kept.exists():
        sys.exit(f"edgechat {' '.join(arguments)} ended with {child.returncode}: {said.strip()}")
    lines = [json.loads(line[9:]) for line in kept.read_bytes().splitlines()[1:]]
    return {line["n"]: line["entry"] for line in lines}


def document_faults(before: str, after: str, form: str) -> tuple[list[str], list[tuple[TextUnit, str]]]:
    """What changed outside the translated places, and each place with what stands there now."""
    pairs: list[tuple[TextUnit, str]] = []
    at = start = 0
    pending: TextUnit | None = None
    for piece in _merged(pieces(before, form, ("text",) if form == "csv" else ())):
        if isinstance(piece, TextUnit):
            pending, start = piece, at
            continue
        found = after.find(piece, at)
        if found < 0:
            return [f"{piece[:50]!r} is gone"], pairs
        if pending is not None:
            pairs.append((pending, after[start:found]))
        elif found != at:
            return [f"{after[at:found][:50]!r} was added"], pairs
        at, pending = found + len(piece), None
    if pending is not None:
        pairs.append((pending, after[at:]))
    elif after[at:]:
        return [f"{after[at:][:50]!r} was added at the end"], pairs
    return [], pairs


def _merged(cut: Iterable[Piece]) -> Iterator[Piece]:
    """The same pieces, what stays between two places in one: a lone comma would be found inside a translation."""
    held = ""
    for piece in cut:
        if isinstance(piece, str):
            held += piece
            continue
        if held:
            yield held
        held = ""
        yield piece
    if held:
        yield held


def drill_tasks(wanted: list[str], given: argparse.Namespace, directory: Path) -> list[bool]:
    """Drill the wanted tasks, a row each; which of them were sound."""
    edgechat("ask", "-n", "1", "hi")
    print("| task | records | status | violations | took | notes |\n|---|---|---|---|---|---|", flush=True)
    return [
        drill_documents(given.segments, given.seed, directory, given.parallel)
        if task == "documents"
        else drill_task(task, given.records or 200, given.seed, directory, given.parallel)
        for task in wanted
    ]


def main() -> None:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", action="append", choices=[*MAKERS, "documents"], help="one of them; repeatable")
    parser.add_argument("--records", type=int, help="records a task (200), or of the batch (2,000)")
    parser.add_argument("--segments", type=int, default=300, help="segments in documents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--batch", action="store_true", help="kill and resume a batch instead")
    parser.add_argument("--memory", action="store_true", help="measure a batch's memory instead")
    parser.add_argument("--kills", type=int, default=10, help="with --batch; its --records are 2,000 by default")
    parser.add_argument(
        "--engine-too", action="store_true", help="with --batch: every other kill ends the engine as well"
    )
    parser.add_argument("--keep", type=Path, help="leave inputs and results here, and go on with what is here")
    given = parser.parse_args()
    wanted = given.only or [*MAKERS, "documents"]
    with tempfile.TemporaryDirectory() as home:
        os.environ["EDGECHAT_HOME"] = home
        directory = (given.keep or Path(home)).resolve()
        directory.mkdir(exist_ok=True)
        try:
            if given.batch:
                numbers = (given.records or 2000, given.kills, given.seed)
                sound = [drill_batch(*numbers, directory, given.parallel, engine_too=given.engine_too)]
            elif given.memory:
                sound = [drill_memory(directory)]
            else:
                sound = drill_tasks(wanted, given, directory)
        finally:
            edgechat("stop")
    sys.exit(0 if all(sound) else 1)


if __name__ == "__main__":
    main()
