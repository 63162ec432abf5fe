"""The command line of ``scripts/quality``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.engine.client import client
from edgechat.errors import EdgechatError
from edgechat.paths import Paths
from edgechat.tasks.registry import load
from edgechat.tasks.scoring.reference_file import read_pairs
from edgechat.tasks.scoring.translation import require_sacrebleu
from scripts.answer_quality import table
from scripts.answer_quality.answers import Answerer
from scripts.answer_quality.figures import changes, rootcause_figures, translation_figures
from scripts.workshop import real_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.scoring.reference_file import Pair
    from scripts.answer_quality.answers import Answer

SETS = {"dev": ("first", "dev"), "a": ("extension_a",), "b": ("extension_b",)}
"""Designs are chosen on ``dev`` and ``a``; ``b`` only checks them."""
TASKS = ("translate", "rootcause")
MODELS = {"0.5b": real_models.SMALL, "1.5b": real_models.LARGE}
DATA = table.ROOT / "tests" / "tasks" / "eval_sets"


def main() -> int:
    """Run the reference sets, print the tables and what changed since the kept figures."""
    args = _arguments()
    try:
        require_sacrebleu()
        models = [_model(name) for name in args.model or ["0.5b"]]
    except (EdgechatError, real_models.FetchError) as error:
        print(f"quality: {error}", file=sys.stderr)
        return 1
    rows, made = table.read_rows(), []
    with tempfile.TemporaryDirectory(prefix="edgechat-quality-") as scratch:
        home = os.environ.setdefault("EDGECHAT_HOME", scratch)
        paths = Paths.from_env({**os.environ, "EDGECHAT_HOME": home})
        try:
            for name, path in models:
                answerer = Answerer(paths, path, args.parallel, on_answer=_progress)
                for task in args.task or TASKS:
                    for chosen in args.set or SETS:
                        row = _row(answerer, name, task, chosen, args)
                        _print_changes(rows, row)
                        rows = table.with_row(rows, row)
                        made.append(next(each for each in rows if table.key(each) == table.key(row)))
                client.stop(paths)
        finally:
            client.stop(paths)
    print(table.tables(made))
    if args.keep:
        table.keep(rows)
    return 0


def _row(answerer: Answerer, model: str, task: str, chosen: str, args: argparse.Namespace) -> table.Row:
    pairs = _pairs(task, chosen, args.direction)
    print(f"{model}: {task}, set {chosen}, {len(pairs)} records", file=sys.stderr)
    answers = answerer.task(task, pairs)
    figures = translation_figures if task == "translate" else rootcause_figures
    row: table.Row = {
        "task": task,
        "task_version": load(task).version,
        "model": model,
        "sha256": answerer.identity.sha256,
        "set": chosen,
        "figures": figures(pairs, answers),
    }
    _write(args.answers, f"{model}_{task}_{chosen}", pairs, answers)
    if task == "translate" and args.plain:
        plain = answerer.plain_translations(pairs)
        row["plain"] = translation_figures(pairs, plain)
        _write(args.answers, f"{model}_plain_{chosen}", pairs, plain)
    return row


def _pairs(task: str, chosen: str, directions: Sequence[str] | None) -> list[Pair]:
    found: list[Pair] = []
    for name in SETS[chosen]:
        path = DATA / f"{name}_{task}.jsonl"
        found += read_pairs([path.read_bytes()], path.name, load(task))
    wanted = set(directions or ())
    return [pair for pair in found if not wanted or f"{pair.input['source']}-{pair.input['target']}" in wanted]


def _model(name: str) -> tuple[str, Path]:
    """The model's name and its verified file; a path may be given too."""
    path = Path(name)
    if path.suffix == ".gguf" and path.exists():
        return path.stem, path.absolute()
    model = real_models.MODELS[MODELS.get(name, name)]
    return model.name, real_models.fetch(model, say=lambda line: print(line, file=sys.stderr))


def _print_changes(rows: Sequence[table.Row], row: table.Row) -> None:
    old = next((each for each in rows if table.key(each) == table.key(row)), None)
    if old is None:
        print(f"{', '.join(table.key(row))}: nothing is kept to compare with")
        return
    lines = changes(old["figures"], row["figures"])
    print(f"{', '.join(table.key(row))}: {'; '.join(lines) or 'as kept'}")


def _write(directory: Path | None, name: str, pairs: Sequence[Pair], answers: Sequence[Answer]) -> None:
    """Keep what was answered beside what was expected, to be read."""
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [
        {"id": pair.id, "input": pair.input, "reference": pair.reference, **asdict(answer)}
        for pair, answer in zip(pairs, answers, strict=True)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _progress(count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{count}", end="", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/quality", description=__doc__)
    parser.add_argument("--model", action="append", metavar="0.5b|1.5b|FILE.gguf", help="repeatable (default 0.5b)")
    parser.add_argument("--task", action="append", choices=TASKS, help="repeatable (default: all)")
    parser.add_argument("--set", action="append", choices=list(SETS), help="repeatable (default: all)")
    parser.add_argument("--direction", action="append", metavar="ja-en", help="translate: only these. Repeatable.")
    parser.add_argument("--plain", action="store_true", help="also ask with one plain sentence, for comparison")
    parser.add_argument("--answers", type=Path, metavar="DIR", help="write every answer there, to be read")
    parser.add_argument("--parallel", type=int, default=8, help="records decoded together (default 8)")
    parser.add_argument("--keep", action="store_true", help="keep the figures and write the tables of docs/quality.md")
    args = parser.parse_args()
    if args.keep and args.direction:
        parser.error("--keep keeps whole sets; leave out --direction")
    return args
