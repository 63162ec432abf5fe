"""``edgechat eval``: score a model on a file of reference answers, on this board."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
from edgechat.cli.model_options import allow_step_down_option, model_option
from edgechat.cli.output.batch_progress import run_with_progress
from edgechat.cli.output.score_comparison import comparison_text
from edgechat.engine.protocol.request import Wish
from edgechat.errors import InvalidInputError, UsageError
from edgechat.paths import Paths
from edgechat.plaintext import clean_line
from edgechat.tasks.language import locale_language
from edgechat.tasks.registry import load
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgechat.tasks.batch.job import Job
    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.scoring.reference_file import Pair
    from edgechat.tasks.scoring.scores import Result

_SHOWN_SHA = 12


@click.command("eval")
@click.argument("task")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@model_option
@allow_step_down_option
@click.option("--limit", type=click.IntRange(min=1), help="Score only the first N records.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Seconds for each record.")
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 32) - 1),
    default=0,
    show_default=True,
    help="Saved with the scores and passed to the model; decoding is greedy, so it changes nothing.",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Save the results (JSON lines) and a journal there."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run with the same --out.")
@click.option(
    "--against",
    metavar="MODEL|REPORT.json",
    help="Score this model too and print both side by side; or compare with a report that --json printed.",
)
def evaluate(task: str, file: Path, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's
    """Score TASK over FILE: JSON lines of {"input": {...}, "reference": {...}}.

    Answers are made one after the other, never taken from the cache. References and scores: docs/eval.md.
    """
    from edgechat.tasks.batch.job import Job  # noqa: PLC0415
    from edgechat.tasks.batch.text_encoding import chunks  # noqa: PLC0415 - 0.5 s of imports
    from edgechat.tasks.scoring.reference_file import read_pairs  # noqa: PLC0415
    from edgechat.tasks.scoring.scores import reference_fault  # noqa: PLC0415
    from edgechat.tasks.scoring.translation import require_sacrebleu  # noqa: PLC0415

    if options["resume"] and options["out"] is None:
        raise UsageError("--resume needs --out: the journal is next to the output file.")
    loaded = load(task)
    if task == "translate":
        require_sacrebleu()
    try:
        with file.open("rb") as stream:
            pairs = read_pairs(chunks(stream), str(file), loaded, limit=options["limit"])
    except OSError as error:
        raise InvalidInputError(
            f"Cannot read {file}: {error.strerror}.",
            hint="Name a file of JSON lines with input and reference: docs/eval.md",
        ) from error
    for pair in pairs:
        if fault := reference_fault(task, pair.reference, loaded.output_model.model_fields):
            raise InvalidInputError(
                f"{file}: the reference of {pair.id} cannot be used: {fault}.", hint="See docs/eval.md."
            )
    paths = Paths.from_env()
    config = settings.load(paths.config)
    job = Job(
        source="-",
        form="jsonl",
        format="jsonl",
        out=options["out"],
        resume=options["resume"],
        timeout_s=options["timeout_s"],
        seed=options["seed"],
        language=locale_language(),
        keeps_answers=False,
        other_inputs=(file,),
    )
    wish = Wish.of(options["model"] or config.model, config.n_ctx, exact=not options["allow_step_down"])
    against = options["against"]
    other = _read_report(Path(against), task) if against and against.endswith(".json") else None
    report = report_of(loaded, file, pairs, results_of(job, loaded, pairs, paths, wish), options["seed"])
    if against is None:
        click.echo(json.dumps(report, ensure_ascii=False) if as_json else report_text(report))
        return
    if other is None:
        wish = Wish.of(against, config.n_ctx, exact=not options["allow_step_down"])
        job = replace(job, out=None, resume=False)
        other = report_of(loaded, file, pairs, results_of(job, loaded, pairs, paths, wish), options["seed"])
    if as_json:
        click.echo(json.dumps({"report": report, "against": other}, ensure_ascii=False))
    else:
        click.echo(comparison_text(report, other))


def _read_report(path: Path, task: str) -> dict[str, Any]:
    """A report that ``--json`` printed.

    Raises:
        InvalidInputError: the file cannot be read, or is no report of this task.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"Cannot read the report {path}: {error}.") from error
    if not isinstance(found, dict) or found.get("task") != task or not isinstance(found.get("scores"), dict):
        raise InvalidInputError(
            f"{path} is no report of {task}.", hint=f"Make one: edgechat eval {task} FILE --json > {path.name}"
        )
    return found


def results_of(
    job: Job,
    task: Task[Any, Any],
    pairs: Sequence[Pair],
    paths: Paths,
    wish: Wish,
    *,
    generator: Callable[[], Generator] | None = None,
) -> list[Result]:
    """Run the task over each input, in order.

    Raises:
        EdgechatError: the run was stopped by an error.
    """
    stdin, stdout = io.BytesIO(b"".join(pair.line() for pair in pairs)), io.BytesIO()
    run_with_progress(job, task, paths, wish, stdin=stdin, stdout=stdout, total=len(pairs), generator=generator)
    text = job.out.read_bytes() if job.out is not None else stdout.getvalue()
    return [json.loads(line) for line in text.split(b"\n") if line]


def report_of(
    task: Task[Any, Any], file: Path, pairs: Sequence[Pair], results: Sequence[Result], seed: int
) -> dict[str, Any]:
    """The report, as ``--json`` prints it."""
    from edgechat.tasks.contract import published_schema  # noqa: PLC0415
    from edgechat.tasks.scoring import scores as scoring  # noqa: PLC0415
    from edgechat.tasks.scoring.translation import translation_scores  # noqa: PLC0415

    scores = scoring.schema_scores(results, published_schema(task, "output"))
    if task.name == "translate":
        scores |= translation_scores(pairs, results) | scoring.flag_scores(results)
    elif task.name == "rootcause":
        scores |= scoring.rootcause_scores(pairs, results)
    elif task.name == "driving":
        scores |= scoring.driving_scores(pairs, results)
    else:
        scores |= scoring.field_scores(pairs, results)
    answered = [done for done in results if done["model"] is not None]
    counts = Counter(done["status"] for done in results)
    return {
        "task": task.name,
        "task_version": task.version,
        "file": file.name,
        "records": len(results),
        "status": {name: counts[name] for name in ("ok", "truncated", "failed", "invalid_input")},
        **scoring.speed_scores(results),
        # Several if the engine changed to a smaller plan during the run; then a score mixes them.
        "models": sorted({f"{done['model']}:{done['quant']}" for done in answered}),
        "model": answered[-1]["model"] if answered else None,
        "quant": answered[-1]["quant"] if answered else None,
        "model_sha256": answered[-1]["model_sha256"] if answered else None,
        "edgechat_version": __version__,
        "seed": seed,
        "scores": scores,
    }


def report_text(report: dict[str, Any]) -> str:
    """The report as text: one fact per line, then the scores."""
    counts = ", ".join(f"{count} {name}" for name, count in report["status"].items() if count) or "none"
    model = f"{report['model']}:{report['quant']}" if report["model"] else "no model: results come from rules alone"
    speed = f", {report['decode_tps']} tok/s decoded" if report["decode_tps"] is not None else ""
    sha256 = f" (sha256 {report['model_sha256'][:_SHOWN_SHA]}…)" if report["model_sha256"] else ""
    what = f"{report['task']} version {report['task_version']} over {report['file']}"
    lines = [
        f"{what}: {report['records']} records, {counts}",
        f"Model    {clean_line(model)}{sha256}, seed {report['seed']}, greedy",
        f"Time     {report['seconds']} s, {report['seconds_per_record']} s a record{speed}",
        *_score_lines(report["scores"]),
    ]
    if len(report["models"]) > 1:
        lines.append(f"Beware: several models answered: {', '.join(report['models'])}.")
    return "\n".join(lines)


def _score_lines(scores: dict[str, Any], depth: int = 0) -> list[str]:
    width = max((len(name) for name in scores), default=0)
    lines: list[str] = []
    for name, value in scores.items():
        head = f"{'  ' * depth}{name.ljust(width)}"
        if isinstance(value, dict):
            lines += [head.rstrip(), *_score_lines(value, depth + 1)] if value else [f"{head}  -"]
        else:
            lines.append(f"{head}  {'-' if value is None else value}")
    return lines
