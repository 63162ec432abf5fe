"""``edgechat ask``: print one answer to standard output. Everything else goes to standard error."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
from edgechat.cli.model_options import context_option, keep_alive_option, model_option
from edgechat.cli.output.answer import AnswerView
from edgechat.cli.text_input import read_text, require_utf8
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.request import OVERFLOWS, Message, Request, Wish, is_path
from edgechat.errors import AnswerError, UsageError
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.chat.turn import Turn
    from edgechat.errors import EdgechatError


@click.command()
@click.argument("prompt", required=False)
@model_option
@click.option("-s", "--system", help="System message.")
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Append a text file. Repeatable."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Attach a PNG or JPEG file; needs a vision model. Repeatable.",
)
@click.option(
    "-c",
    "--continue",
    "is_kept",
    is_flag=True,
    help="Continue the last -c conversation, and save this question and its answer.",
)
@click.option("--new", "is_new", is_flag=True, help="With -c: start a new conversation.")
@click.option(
    "--overflow",
    type=click.Choice(OVERFLOWS),
    help="When the conversation is longer than the context: fail, or leave out the oldest messages (default with -c), "
    "or summarize them first. The history keeps everything.",
)
@click.option("-n", "--max-tokens", type=click.IntRange(min=1), help="Longest answer in tokens (default 1024).")
@click.option("--temp", "temperature", type=float, help="Sampling temperature; 0 is greedy.")
@click.option("--top-k", type=int, help="Sample from this many tokens; 0 means all.")
@click.option("--top-p", type=float, help="Sample within this probability mass.")
@click.option("--min-p", type=float, help="Drop tokens below this share of the best token's probability.")
@click.option("--repeat-penalty", type=float, help="A value above 1 reduces repetition.")
@click.option("--seed", type=int, help="Seed for repeatable sampling.")
@context_option
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Stop after this many seconds."
)
@click.option(
    "--schema",
    metavar="FILE|INLINE|any",
    help="Answer with JSON that satisfies this JSON schema (any: any object).",
)
@click.option("--text", "regex", metavar="REGEX", help="Answer with text that this regular expression matches, whole.")
@click.option(
    "--docs",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Answer from the documents of `edgechat docs add`, or those of NAME, and say where it stands.",
)
@click.option("--strict", is_flag=True, help="With --docs: fail where a rule doubts the answer.")
@click.option("--stop", "stops", metavar="TEXT", multiple=True, help="End the answer before TEXT. Repeatable.")
@click.option(
    "--think", is_flag=True, help="Let a thinking model think first, and print its thoughts to standard error."
)
@click.option("--no-stream", is_flag=True, help="Print the answer only when it is complete.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option(
    "--stats",
    is_flag=False,
    flag_value="text",
    metavar="[text|json]",
    help="Print speed and memory to standard error; --stats=json as one JSON line.",
)
@keep_alive_option
@click.option(
    "--no-speculate", is_flag=True, help="Switch off speculative decoding, for measurements; the answer stays the same."
)
@click.option(
    "--no-switch", is_flag=True, help="Never replace a model that another client uses; exit with code 3 instead."
)
def ask(prompt: str | None, files: tuple[Path, ...], **options: Any) -> None:  # noqa: ANN401 - click's
    """Answer PROMPT. Text piped to standard input is appended to it.

    \b
    edgechat ask "Why is the sky blue?"
    dmesg | edgechat ask "What went wrong here?"
    edgechat ask -f report.txt "Summarize this." --stats
    edgechat ask --text "(yes|no)" "Is 91 a prime?"
    edgechat ask --docs "What does error E-401 mean?"
    edgechat ask -c "And at night?"
    """  # noqa: D301 - click reads the escape
    paths = Paths.from_env()
    config = settings.load(paths.config)
    prompt, stats = _prompt_and_stats(prompt, options["stats"])
    for name, text in (("The question", prompt), ("The system message", options["system"])):
        require_utf8(text, name)
    if options["docs"] is not None or options["strict"]:
        # Imported by name: it needs pydantic, and a plain question does not wait for that.
        importlib.import_module("edgechat.cli.docs.answer").answer(
            paths, config, prompt, {**options, "files": files, "stats": stats}
        )
        return
    if options["is_new"] and not options["is_kept"]:
        raise UsageError("--new needs -c.", hint="Write: edgechat ask -c --new")
    model = options["model"] or config.model
    if paths.models_moved and not (model and is_path(model)):
        paths.require_models()  # otherwise a running engine would answer even though the disk is missing
    images = _images(options["images"])
    if images and options["is_kept"]:
        raise UsageError("-c saves text only, no images.", hint="Ask about an image without -c.")
    constraint, check = _constraint(options)
    text = _question(prompt, files)
    system = options["system"] if options["system"] is not None else config.system
    temperature = options["temperature"] if options["temperature"] is not None else config.temperature
    sampling = {
        "temperature": temperature,
        **{name: options[name] for name in ("top_k", "top_p", "min_p", "repeat_penalty", "seed")},
    }
    request = Request(
        messages=(*([Message("system", system)] if system else []), Message("user", text, images)),
        wish=Wish.of(model, options["n_ctx"] or config.n_ctx),
        sampling={name: value for name, value in sampling.items() if value is not None},
        max_tokens=options["max_tokens"] or config.max_tokens,
        think=options["think"],
        timeout_s=options["timeout_s"],
        overflow=options["overflow"] or config.overflow or ("trim" if options["is_kept"] else "refuse"),
        stop=options["stops"],
        constraint=constraint,
        speculate=not options["no_speculate"],
    )
    keep_alive = options["keep_alive"]
    client = EngineClient(
        paths,
        keep_alive_s=None if keep_alive is None else settings.seconds(keep_alive),
        may_switch=None if options["no_switch"] else _may_switch,
    )
    view = AnswerView(
        question=text,
        # A script that reads JSON needs all of it or nothing.
        is_streaming=not (options["no_stream"] or options["as_json"] or constraint),
        check=check,
        as_json=options["as_json"],
        stats=stats,
        shows_thoughts=options["think"],
        n_ctx=options["n_ctx"],
    )
    turn = _save_question(paths, text, options, config.system) if options["is_kept"] else None
    try:
        if turn is None:
            view.show(client.generate(request))
        else:
            messages = turn.messages(request.wish.n_ctx)
            view.show(turn.record(client.generate(replace(request, messages=messages, keep=turn.cache_name))))
    finally:
        if turn is not None:
            turn.close()
        client.close()
    if view.fault is not None:
        raise view.fault
    if turn is not None and turn.fault is not None:
        raise turn.fault
    if view.finish_reason == "empty":
        raise AnswerError(
            "The model ended its answer without any text.",
            hint="Ask in other words, or check the model's file: edgechat models verify",
        )
    if view.finish_reason == "timeout":
        raise AnswerError("The answer took longer than --timeout allows.", hint="Give it more seconds with --timeout.")


def _prompt_and_stats(prompt: str | None, stats: str | None) -> tuple[str | None, str | None]:
    """Separate a question from ``--stats``: a word behind it that is neither ``text`` nor ``json`` is the question.

    Raises:
        UsageError: there are two questions.
    """
    if stats in {None, "text", "json"}:
        return prompt, stats
    if prompt is not None:
        raise UsageError(f"--stats is followed by {stats!r}.", hint="Write --stats, or --stats=json.")
    return stats, "text"


def _save_question(paths: Paths, question: str, options: dict[str, Any], system: str | None) -> Turn:
    """Save the question before it goes to the engine."""
    # 15 ms of imports, needed with -c only.
    from edgechat.chat.history import History  # noqa: PLC0415
    from edgechat.chat.turn import Turn  # noqa: PLC0415

    return Turn.begin(
        History.open(paths),
        question,
        system=options["system"],
        default_system=system or "",
        is_new=options["is_new"],
    )


def _constraint(
    options: dict[str, Any],
) -> tuple[dict[str, Any] | None, Callable[[str, str], EdgechatError | None] | None]:
    """What the answer must satisfy, and the check of the complete answer.

    Raises:
        UsageError: the options contradict each other.
        SchemaError: the schema cannot be used.
    """
    schema, regex, stops = options["schema"], options["regex"], options["stops"]
    if schema is not None and (regex is not None or stops):
        other = "--text" if regex is not None else "--stop"
        raise UsageError(f"--schema asks for JSON and {other} for text.", hint="Leave out one of them.")
    if "" in stops:
        raise UsageError("--stop is empty.", hint="Name the text that ends the answer: --stop '###'")
    if regex == "":
        raise UsageError("--text is empty.", hint="Write a regular expression: --text '(yes|no)'")
    if schema is None and regex is None:
        return None, None
    from edgechat.cli.schema_option import (  # noqa: PLC0415 - 20 ms
        check_answer,
        check_text,
        read_schema,
    )

    if regex is not None:
        return {"regex": regex}, check_text
    wanted = read_schema(schema)
    return {"json_schema": wanted}, partial(check_answer, schema=wanted)


def _question(prompt: str | None, files: tuple[Path, ...]) -> str:
    """The user's message: the prompt, each file with its name, then the text from standard input."""
    parts = [prompt] if prompt and prompt.strip() else []
    parts += [f"{file.name}:\n{read_text(file)}" for file in files]
    if sys.stdin is not None and not sys.stdin.isatty():
        piped = read_text("-")
        if piped.strip():
            parts.append(piped)
    if not parts:
        raise UsageError("There is no question.", hint='Write: edgechat ask "…", or pipe text into it.')
    return "\n\n".join(parts)


def _images(files: tuple[Path, ...]) -> tuple[str, ...]:
    if not files:
        return ()
    from edgechat.engine.protocol.images import read  # noqa: PLC0415 - needed for images only

    return tuple(map(read, files))


def _may_switch(question: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(question, err=True)
