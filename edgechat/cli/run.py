"""``edgechat run``: a task over one record, a file of records, a document or a live stream. Results go to stdout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
from edgechat.cli import BEGAN_S
from edgechat.cli.model_option import model_option
from edgechat.cli.output.answer import STARTER_NOTE
from edgechat.cli.output.batch_progress import Pace
from edgechat.engine.protocol.request import Wish
from edgechat.errors import AnswerError, InvalidInputError, ModelNotFoundError, UsageError
from edgechat.paths import Paths
from edgechat.plaintext import clean_line
from edgechat.tasks.language import LANGUAGES, locale_language
from edgechat.tasks.registry import installed_tasks, load

if TYPE_CHECKING:
    from edgechat.tasks.batch.batch_run import Tally
    from edgechat.tasks.batch.job import Job, JobReport
    from edgechat.tasks.contract import Task
    from edgechat.tasks.generator import ModelIdentity

_PARALLEL_NOTE = (
    "Records are decoded together (--parallel): sums are rounded by what runs beside, so an answer may differ from "
    "that of --parallel 1, which asks one after the other."
)


class _TaskList(click.Command):
    """Names the installed tasks below the options; reading package metadata imports none of them."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Tasks"):
            formatter.write_dl([(clean_line(task.name), clean_line(task.help)) for task in installed_tasks()])
        super().format_epilog(ctx, formatter)


@click.command(
    cls=_TaskList,
    epilog="What a task takes and gives: edgechat tasks show TASK. Exit code 5 when any record is not ok.",
)
@click.argument("task")
@click.argument("source", metavar="[INPUT|-]", required=False)
@click.option("--field", "pairs", metavar="NAME=VALUE", multiple=True, help="Set a field of every record. Repeatable.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write there, keeping a journal so it can be resumed.",
)
@click.option("--format", "fmt", help="json, jsonl, csv, or what the task renders (md, html, text).")
@click.option("--from", "form", help="Form of INPUT where its name does not say: json, jsonl, csv, text, md, srt, …")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of INPUT, for example cp932.")
@click.option("--column", "columns", multiple=True, help="Rewrite this column of a CSV or JSONL file. Repeatable.")
@click.option(
    "--glossary", type=click.Path(path_type=Path), help="translate: a CSV or TSV file of source and target terms."
)
@click.option("--strict", is_flag=True, help="translate: a segment with any flag fails its record.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run to the same --out.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Records at once. 1 asks them one after the other, which repeats exactly; more is faster, and answers can "
    "differ in rounding.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds for each record; a single one's count from the start of the command.",
)
@click.option("--follow", is_flag=True, help="Read a live stream of JSON lines; alerts go out at once.")
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 32) - 1),
    help="Kept with every result and handed to the model; tasks decode greedily, so answers stay the same.",
)
@click.option("--language", type=click.Choice(LANGUAGES), help="Language of texts; the locale's otherwise.")
@click.option("--no-cache", is_flag=True, help="Ask again even where the same input was answered before.")
@click.option("--allow-step-down", is_flag=True, help="Let what `models use` fixed give way when memory is short.")
@model_option
def run(task: str, source: str | None, **options: Any) -> None:  # noqa: ANN401 - click's
    """Run TASK over INPUT: .json one record; .jsonl or .csv many; text where the task takes text.

    \b
    edgechat run driving --field speed_kmh=80 --field distance_to_car_m=30 …
    edgechat run rootcause defects.jsonl --out reports.jsonl --resume
    edgechat run translate README.md --field target=ja --glossary terms.csv --out README.ja.md
    camera | edgechat run driving --follow
    """  # noqa: D301 - click looks for the backspace character itself
    from edgechat.tasks.batch.records import given_fields  # noqa: PLC0415
    from edgechat.tasks.contract import published_schema  # noqa: PLC0415 - pydantic: 0.3 s that --help need not pay

    loaded = _task(task)
    paths = Paths.from_env()
    config = settings.load(paths.config)
    wish = Wish.of(options["model"] or config.model, config.n_ctx, exact=not options["allow_step_down"])
    pairs = (*options["pairs"], *(("strict=true",) if options["strict"] else ()))
    fields = given_fields(pairs, published_schema(loaded, "input"))
    for flag in ("strict", "glossary"):
        if options[flag] and flag not in loaded.input_model.model_fields:
            raise UsageError(f"Task {task} knows no --{flag}.", hint="It belongs to translate.")
    if options["glossary"]:
        fields["glossary"] = _glossary(options["glossary"], options["encoding"])
    language = options["language"] or locale_language()
    if options["follow"]:
        if source not in {None, "-"}:
            raise UsageError(
                "--follow reads a live stream from standard input.",
                hint="For example: tail -f FILE | edgechat run driving --follow",
            )
        if options["out"] is not None or options["resume"]:
            raise UsageError("--follow writes to standard output and is never resumed.", hint="Redirect it: > FILE")
        from edgechat.cli.follow import follow  # noqa: PLC0415

        follow(loaded, paths, wish, fields=fields, language=language, timeout_s=options["timeout_s"])
        return
    if source is None and not pairs:
        if sys.stdin.isatty():
            raise UsageError(
                "There is no input.", hint=f"Name a file, - for standard input, or see `edgechat tasks show {task}`."
            )
        source = "-"
    from edgechat.tasks.batch.job import Job  # noqa: PLC0415

    job = Job(
        source=source,
        fields=fields,
        out=options["out"],
        form=options["form"],
        format=options["fmt"],
        encoding=options["encoding"],
        columns=options["columns"],
        resume=options["resume"],
        parallel=options["parallel"],
        timeout_s=options["timeout_s"],
        began_s=BEGAN_S,
        seed=options["seed"],
        language=language,
        keeps_answers=not options["no_cache"],
    )
    _judge(_run(job, loaded, paths, wish))


def _run(job: Job, task: Task[Any, Any], paths: Paths, wish: Wish) -> JobReport:
    from edgechat.tasks.batch.job import JobCallbacks, run_job  # noqa: PLC0415
    from edgechat.tasks.batch.journal import SUFFIX  # noqa: PLC0415

    pace = Pace()

    def note(text: str) -> None:
        pace.clear()
        click.secho(clean_line(text), err=True, fg="yellow")

    warning: list[str] = []

    def model(identity: ModelIdentity) -> None:
        if identity.is_starter:
            warning.append(STARTER_NOTE)

    def advance(tally: Tally) -> None:
        if tally.answered and warning:  # not for what the rules or an earlier run said
            note(warning.pop())
        pace.advance(tally.total, tally.not_ok)

    if job.parallel > 1:
        note(_PARALLEL_NOTE)
    callbacks = JobCallbacks(
        note=note,
        begin=pace.begin,
        advance=advance,
        model=model,
    )
    try:
        report = run_job(job, task, paths, wish, stdin=sys.stdin.buffer, stdout=sys.stdout.buffer, callbacks=callbacks)
    except BaseException:
        pace.clear()
        if job.out is not None and job.out.with_name(job.out.name + SUFFIX).exists() and not _is_usage():
            click.echo(
                f"What is done is in {job.out.name}{SUFFIX}: go on with the same command and --resume.", err=True
            )
        raise
    finally:
        pace.clear()
    return report


def _is_usage() -> bool:
    """Whether the error on its way out already says what to do about the journal."""
    return isinstance(sys.exc_info()[1], (UsageError, InvalidInputError))


def _judge(report: JobReport) -> None:
    """Say what was not as wished, and fail when a record was not ok."""
    tally = report.tally
    if report.flags:
        flags = ", ".join(f"{name} {count}" for name, count in sorted(report.flags.items()))
        click.echo(f"Flags: {flags}.", err=True)
    if report.unwritable:
        click.echo(f"{report.unwritable} kept as they were: the file's encoding cannot write their new text.", err=True)
    if tally.not_ok:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.by_status.items()) if name != "ok")
        for fault in report.faults:
            click.echo(clean_line(fault), err=True)
        hint = "Each says why in its `errors`."
        if report.faults:
            hint = "All of them, with their `errors`: --format jsonl" if tally.not_ok > len(report.faults) else ""
        raise AnswerError(f"{tally.not_ok} of {tally.total} records are not ok: {counts}.", hint=hint)


def _task(name: str) -> Task[Any, Any]:
    """The task, or the right command for somebody who named a model."""
    try:
        return load(name)
    except UsageError as unknown:
        if any(task.name == name for task in installed_tasks()):
            raise
        if (command := _model_command(name)) is not None:
            raise UsageError(f"{name} is a model, not a task.", hint=command) from unknown
        raise


def _glossary(path: Path, encoding: str) -> list[dict[str, str]]:
    from edgechat.tasks.batch.text_encoding import decoded, require_encoding  # noqa: PLC0415
    from edgechat.tasks.translate.glossary import read_glossary  # noqa: PLC0415

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"Cannot read the glossary {path}: {error.strerror}.") from error
    text = "".join(decoded([data], require_encoding(encoding), str(path)))
    return [term.model_dump() for term in read_glossary(text, str(path))]


def _model_command(name: str) -> str | None:
    """What to type for a model called ``name``; None when it is none."""
    from edgechat.models.catalog.catalog import load_catalog  # noqa: PLC0415
    from edgechat.models.catalog.names import parse_reference  # noqa: PLC0415
    from edgechat.models.store.installed import installed  # noqa: PLC0415

    try:
        reference = parse_reference(name)
    except (UsageError, ModelNotFoundError):
        return None
    here = {model.name for model in installed(Paths.from_env())}
    ask = f'edgechat ask -m {reference} "…"'
    pull = f"edgechat models pull {reference}"
    if reference.kind == "path" or reference.name in here:
        return f"To ask it: {ask}"
    if reference.kind == "hub" or reference.tag or reference.name in set(load_catalog().names):
        return f"To fetch it: {pull}; then to ask it: {ask}"
    return None
