"""``edgechat run``: run a task over one record, a file of records, a document or a live stream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
from edgechat.cli import BEGAN_S
from edgechat.cli.completion import matching
from edgechat.cli.model_options import allow_step_down_option, model_option
from edgechat.cli.output.batch_progress import run_with_progress
from edgechat.cli.output.terminal import say
from edgechat.engine.protocol.request import Wish
from edgechat.errors import AnswerError, InvalidInputError, ModelNotFoundError, UsageError
from edgechat.paths import Paths
from edgechat.plaintext import clean_line
from edgechat.tasks.language import LANGUAGES, locale_language
from edgechat.tasks.registry import installed_tasks, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.tasks.batch.follow import StreamLine
    from edgechat.tasks.batch.job import JobReport
    from edgechat.tasks.contract import Task
    from edgechat.tasks.language import Language

_PARALLEL_NOTE = (
    "Records are decoded together (--parallel). Sums are rounded differently in a batch, so an answer may differ from "
    "that of --parallel 1."
)

_OWNERS = {"strict": "It is an option of translate and manual.", "glossary": "It is an option of translate."}

_EARLIER_HINT = "Name the output of an earlier run: edgechat run rootcause defects.jsonl --out FILE.jsonl"


def _complete_task(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return matching((task.name for task in installed_tasks()), incomplete)


class _TaskList(click.Command):
    """Lists the installed tasks below the options, from package metadata, without importing them."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Tasks"):
            formatter.write_dl([(clean_line(task.name), clean_line(task.help)) for task in installed_tasks()])
        super().format_epilog(ctx, formatter)


@click.command(
    cls=_TaskList,
    epilog="Input and output of a task: edgechat tasks show TASK. Exit code 5 when any record is not ok.",
)
@click.argument("task", shell_complete=_complete_task)
@click.argument("source", metavar="[INPUT|-]", required=False)
@click.option("--field", "pairs", metavar="NAME=VALUE", multiple=True, help="Set a field of every record. Repeatable.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the results there, with a journal for --resume.",
)
@click.option(
    "--report", metavar="FILE", type=click.Path(path_type=Path), help="Write there, as JSON, the state of every part."
)
@click.option("--format", "fmt", help="json, jsonl, csv, or a format of the task (md, html, text).")
@click.option(
    "--from", "form", help="Format of INPUT, if its name does not show it: json, jsonl, csv, text, md, srt, …"
)
@click.option("--encoding", help="Encoding of INPUT, for example cp932; recognised by default.")
@click.option("--delimiter", help="Separator of a CSV file, such as ';' or tab; recognised by default.")
@click.option("--column", "columns", multiple=True, help="Rewrite this column of a CSV or JSONL file. Repeatable.")
@click.option(
    "--glossary", type=click.Path(path_type=Path), help="translate: a CSV or TSV file of source and target terms."
)
@click.option("--strict", is_flag=True, help="translate, manual: any flag fails its record.")
@click.option(
    "--earlier",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="rootcause: results of earlier runs (JSON lines); recurrences count their last 50 too.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run with the same --out.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Records decoded at once. With 1, results repeat exactly; more is faster, but rounding can change answers.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds for each record; for a single record, counted from the start of the command.",
)
@click.option("--follow", is_flag=True, help="Read a live stream of JSON lines; alerts are printed at once.")
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 32) - 1),
    help="Saved with every result and passed to the model; tasks decode greedily, so answers stay the same.",
)
@click.option("--language", type=click.Choice(LANGUAGES), help="Language of the texts; by default the locale's.")
@click.option("--no-cache", is_flag=True, help="Do not use answers of earlier runs for the same input.")
@allow_step_down_option
@model_option
def run(task: str, source: str | None, **options: Any) -> None:  # noqa: ANN401 - click's
    """Run TASK over INPUT: one record (.json), many (.jsonl, .csv), or text if the task takes text.

    \b
    edgechat run driving --field speed_kmh=80 --field distance_to_car_m=30 …
    edgechat run rootcause defects.jsonl --out reports.jsonl --resume
    edgechat run translate README.md --field target=ja --glossary terms.csv --out README.ja.md
    camera | edgechat run driving --follow
    """  # noqa: D301 - click needs the backspace character
    from edgechat.tasks.batch.delimiter import given_delimiter  # noqa: PLC0415
    from edgechat.tasks.batch.records import given_fields  # noqa: PLC0415
    from edgechat.tasks.contract import published_schema  # noqa: PLC0415 - pydantic: 0.3 s

    loaded = _task(task)
    paths = Paths.from_env()
    config = settings.load(paths.config)
    wish = Wish.of(options["model"] or config.model, config.n_ctx, exact=not options["allow_step_down"])
    pairs = (*options["pairs"], *(("strict=true",) if options["strict"] else ()))
    for flag in ("strict", "glossary"):
        if options[flag] and flag not in loaded.input_model.model_fields:
            raise UsageError(f"Task {task} has no option --{flag}.", hint=_OWNERS[flag])
    fields = given_fields(pairs, published_schema(loaded, "input"))
    if options["glossary"]:
        fields["glossary"] = _glossary(options["glossary"], options["encoding"])
    delimiter = given_delimiter(options["delimiter"]) if options["delimiter"] is not None else ""
    language = options["language"] or locale_language()
    if options["follow"]:
        if source not in {None, "-"}:
            raise UsageError(
                "--follow reads a live stream from standard input.",
                hint="For example: tail -f FILE | edgechat run driving --follow",
            )
        if options["out"] is not None or options["report"] is not None or options["resume"]:
            raise UsageError("--follow writes to standard output and cannot be resumed.", hint="Redirect it: > FILE")
        _follow(
            loaded,
            paths,
            wish,
            fields=fields,
            fmt=options["fmt"] or "jsonl",
            language=language,
            timeout_s=options["timeout_s"],
        )
        return
    if source is None and not pairs:
        if sys.stdin.isatty():
            raise UsageError(
                "There is no input.", hint=f"Name a file, - for standard input, or see `edgechat tasks show {task}`."
            )
        source = "-"
    from edgechat.tasks.batch.job import Job  # noqa: PLC0415

    earlier = _earlier(loaded, options["earlier"]) if options["earlier"] else ()
    job = Job(
        source=source,
        fields=fields,
        out=options["out"],
        form=options["form"],
        format=options["fmt"],
        encoding=options["encoding"],
        delimiter=delimiter,
        report=options["report"],
        other_inputs=(options["glossary"],) if options["glossary"] else (),
        columns=options["columns"],
        resume=options["resume"],
        parallel=options["parallel"],
        timeout_s=options["timeout_s"],
        began_s=BEGAN_S,
        seed=options["seed"],
        language=language,
        keeps_answers=not options["no_cache"],
        earlier=earlier,
    )
    report = run_with_progress(
        job,
        loaded,
        paths,
        wish,
        stdin=sys.stdin.buffer,
        stdout=sys.stdout.buffer,
        first_note=_PARALLEL_NOTE if job.parallel > 1 else "",
    )
    _report(report)


def _follow(
    task: Task[Any, Any],
    paths: Paths,
    wish: Wish,
    *,
    fields: Mapping[str, Any],
    fmt: str,
    language: Language,
    timeout_s: float | None,
) -> None:
    """Run a task over each line of standard input until it ends, one result out per change; then print counts.

    Raises:
        AnswerError: a line was not a valid record.
        UsageError: a stream cannot be written in the format ``fmt``.
    """
    allowed = ["jsonl", *(name for name in task.formats if name != "html")]
    if fmt not in allowed:
        raise UsageError(
            f"--follow cannot write {fmt} for task {task.name}.", hint=f"It can write {', '.join(allowed)}."
        )
    from edgechat.models.store.installed import installed  # noqa: PLC0415
    from edgechat.tasks import measured  # noqa: PLC0415
    from edgechat.tasks.batch.follow import Follower  # noqa: PLC0415
    from edgechat.tasks.batch.output import json_text  # noqa: PLC0415
    from edgechat.tasks.generator import EngineGenerator  # noqa: PLC0415

    def write(line: StreamLine) -> None:
        is_json = fmt in {"json", "jsonl"}
        text = json_text(line.to_json()) + "\n" if is_json else line.to_text(task, fmt)
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()

    generator = EngineGenerator(paths, wish, on_note=_warn) if wish.model or installed(paths) else None
    if generator is None:
        _warn("No model is installed, so results come from rules alone. Fetch one: edgechat models pull")
    else:
        generator.identify_only_model()  # the size of the model decides whether and how it is asked
        identity = generator.identity
        if identity is not None and (poor := measured.note(task.name, identity.label, identity.sha256)):
            _warn(poor)
    follower = Follower(task, generator, write, language=language, timeout_s=timeout_s, fields=fields)
    try:
        follower.run(sys.stdin.fileno())
    finally:
        if generator is not None:
            generator.close()
        say(
            f"{follower.lines} lines, {follower.explained} answered by the model, {follower.dropped} dropped, "
            f"{follower.silences} silences, {follower.not_ok} not ok"
            + (f"; {follower.unused} answers of the model were not used." if follower.unused else ".")
        )
    if follower.not_ok:
        raise AnswerError(
            f"{follower.not_ok} of {follower.lines} records are not ok.", hint="Each says why in its `errors`."
        )


def _warn(text: str) -> None:
    say(clean_line(text), fg="yellow")


def _report(report: JobReport) -> None:
    """Print flags, faults and the places that were left as they are, and fail if there are any.

    Raises:
        AnswerError: a record is not ok, or a part of the input was left as it is.
    """
    tally, run = report.tally, report.run
    if report.flags:
        flags = ", ".join(f"{name} {count}" for name, count in sorted(report.flags.items()))
        click.echo(f"Flags: {flags}.", err=True)
    if run.incomplete and (report.is_document or not tally.not_ok):
        for line in run.told:
            click.echo(line, err=True)
        what = "texts" if report.is_document else "records"
        raise AnswerError(
            f"{run.incomplete} of {sum(run.counts.values())} {what} are not done, or only in part: "
            "the original stands there.",
            hint=f"{'All of them' if run.incomplete > len(run.told) else 'Details'}: --report FILE",
        )
    if tally.not_ok:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.by_status.items()) if name != "ok")
        for fault in report.faults:
            click.echo(clean_line(fault), err=True)
        hint = "Each says why in its `errors`."
        if report.faults:
            hint = "All of them, with their `errors`: --format jsonl" if tally.not_ok > len(report.faults) else ""
        raise AnswerError(f"{tally.not_ok} of {tally.total} records are not ok: {counts}.", hint=hint)


def _task(name: str) -> Task[Any, Any]:
    """Load a task; if the name is a model's, the error names the right command."""
    try:
        return load(name)
    except UsageError as unknown:
        if any(task.name == name for task in installed_tasks()):
            raise
        if (command := _model_command(name)) is not None:
            raise UsageError(f"{name} is a model, not a task.", hint=command) from unknown
        raise


def _glossary(path: Path, encoding: str | None) -> list[dict[str, str]]:
    from edgechat.encoding_detection import detect_encoding  # noqa: PLC0415
    from edgechat.tasks.batch.text_encoding import decoded, require_encoding  # noqa: PLC0415
    from edgechat.tasks.translate.glossary import read_glossary  # noqa: PLC0415

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"Cannot read the glossary {path}: {error.strerror}.") from error
    # The encoding of INPUT need not be that of the glossary, so its own content comes first.
    found = detect_encoding(data, is_whole=True) or (require_encoding(encoding) if encoding else "utf-8")
    if found != "utf-8":
        _warn(f"The glossary {path} is read as {found}.")
    text = "".join(decoded([data], found, str(path)))
    return [term.model_dump() for term in read_glossary(text, str(path))]


def _earlier(task: Task[Any, Any], path: Path) -> tuple[dict[str, Any], ...]:
    """The results in a file of JSON lines, oldest first.

    Raises:
        UsageError: the task does not compare its results with earlier ones.
        InvalidInputError: the file cannot be read, or a line is not a JSON object.
    """
    import json  # noqa: PLC0415
    from collections import deque  # noqa: PLC0415

    from edgechat.tasks.contract import Task as Base  # noqa: PLC0415
    from edgechat.tasks.rootcause.trend import WINDOW  # noqa: PLC0415

    if type(task).history is Base.history:
        raise UsageError(f"Task {task.name} has no option --earlier.", hint="It is an option of rootcause.")
    kept: deque[dict[str, Any]] = deque(maxlen=WINDOW)
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    value = json.loads(line)
                    if not isinstance(value, dict):
                        raise InvalidInputError(f"{path}, line {number} is not a JSON object.", hint=_EARLIER_HINT)
                    kept.append(value)
    except OSError as error:
        raise InvalidInputError(f"Cannot read {path}: {error.strerror}.", hint=_EARLIER_HINT) from error
    except ValueError as error:
        raise InvalidInputError(f"{path} does not hold JSON lines: {error}.", hint=_EARLIER_HINT) from error
    return tuple(kept)


def _model_command(name: str) -> str | None:
    """The command for a model called ``name``; None if there is no such model."""
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
