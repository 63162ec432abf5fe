"""``edgechat history``: conversations without a screen. Ids are the numbers that ``edgechat history list`` shows."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.chat import import_conversations
from edgechat.chat.export import conversation_facts, ending, message_facts, safe_json, to_json, to_markdown
from edgechat.chat.history import History
from edgechat.cli.output.terminal import say
from edgechat.errors import InvalidInputError, StateError, UsageError
from edgechat.files import replaceable, write_atomically
from edgechat.paths import Paths
from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from edgechat.chat.conversation import Conversation, Hit, Message

_LAST = "last"


@click.group()
def history() -> None:
    """List, show, search, export, import and remove conversations."""


@history.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Show only the newest N.")
@click.option("--deleted", is_flag=True, help="Show what `rm` has removed and can still bring back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(limit: int | None, *, deleted: bool, as_json: bool) -> None:
    """List conversations, the one that was spoken in last first."""
    with History.open_to_read(Paths.from_env()) as kept:
        found = kept.conversations(-1 if limit is None else limit, is_deleted=deleted)
    if as_json:
        click.echo(safe_json([conversation_facts(each) for each in found]))
        return
    if not found:
        click.echo(
            "Nothing is waiting to be removed." if deleted else 'No conversations yet. Begin one: edgechat ask -c "…"'
        )
        return
    for each in found:
        click.echo(f"{each.id:>6}  {_when(each.created_at):<16}  {each.messages:>5} messages  {_title(each)}")


@history.command()
@click.argument("conversation", metavar="ID|last")
@click.option("--thoughts", is_flag=True, help="Show what a thinking model thought, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(conversation: str, *, thoughts: bool, as_json: bool) -> None:
    """Print one conversation."""
    with History.open_to_read(Paths.from_env()) as kept:
        chosen = kept.transcript(_number(kept, conversation))
    if as_json:
        messages = [{"id": each.id, **message_facts(each)} for each in chosen.messages]
        # The list of messages takes the place of their number.
        click.echo(safe_json({**conversation_facts(chosen.conversation), "messages": messages}))
        return
    facts = [each for each in (_when(chosen.conversation.created_at), chosen.conversation.model) if each]
    click.secho(_title(chosen.conversation), bold=True)
    click.echo(clean_line("  ".join(facts)))
    if chosen.conversation.system:
        click.echo(f"System: {clean(chosen.conversation.system)}")
    for message in chosen.messages:
        _print(message, thoughts=thoughts)


@history.command()
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show at most N places.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(words: tuple[str, ...], limit: int, *, as_json: bool) -> None:
    """Find messages and titles that hold all WORDS; words are found by their beginning, 東京 anywhere."""
    with History.open_to_read(Paths.from_env()) as kept:
        hits = kept.search(" ".join(words), limit)
    if as_json:
        click.echo(safe_json([asdict(hit) for hit in hits]))
        return
    if not hits:
        say("Nothing found.")
    for hit in hits:
        where = "title" if hit.role is None else hit.role
        click.echo(f"{hit.conversation:>6}  {_when(hit.created_at):<16}  {where:<9}  {_lit(hit)}")


@history.command()
@click.argument("conversations", metavar="[ID|last]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(["md", "json"]), help="Default: by --out's name, else md.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead.")
def export(conversations: tuple[str, ...], form: str | None, out: Path | None) -> None:
    """Write conversations as Markdown to read, or as JSON that `history import` takes back whole. Default: all."""
    out = None if out is None else replaceable(out)
    with History.open_to_read(Paths.from_env()) as kept:
        numbers = [_number(kept, each) for each in conversations] or [
            each.id for each in reversed(kept.conversations())
        ]
        chosen = [kept.transcript(number) for number in dict.fromkeys(numbers)]
    if not chosen:
        raise InvalidInputError("There is no conversation to export.")
    form = form or ("json" if out is not None and out.suffix.lower() == ".json" else "md")
    text = to_json(chosen) if form == "json" else to_markdown(chosen)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomically(out, text.encode())
    except OSError as error:
        raise StateError(f"Cannot write {out}: {error.strerror}.", hint="Choose another place with --out.") from error
    say(f"Wrote {len(chosen)} conversation(s) to {out}.")


@history.command("import")
@click.argument("file", metavar="FILE|-")
def import_command(file: str) -> None:
    """Take in conversations: an export of edgechat, or messages with role and content (JSON or JSONL)."""
    name = "Standard input" if file == "-" else file
    found = import_conversations.read(_read(file, name), name)
    with History.open(Paths.from_env()) as kept:
        added, known = kept.add(found.transcripts)
    for note in found.notes:
        say(f"{clean_line(name)}: {note}")
    if known:
        say(f"{known} conversation(s) were here already and stay as they are.")
    say(f"Imported {len(added)} conversation(s)" + (f": {_ranges(added)}." if added else "."))


@history.command()
@click.argument("conversations", metavar="[ID|last]...", nargs=-1)
@click.option("--undo", is_flag=True, help="Bring the removed conversations back.")
@click.option("--purge", is_flag=True, help="Remove for good: the given ones, or all that were removed before.")
def rm(conversations: tuple[str, ...], *, undo: bool, purge: bool) -> None:
    """Remove conversations. They can be brought back with --undo until they are purged."""
    if undo and purge:
        raise UsageError("--undo brings back and --purge removes for good: choose one.")
    if not conversations and not purge:
        raise UsageError("Which conversations?", hint="Give their ids: edgechat history list")
    with History.open(Paths.from_env()) as kept:
        numbers = [_number(kept, each) for each in conversations]
        for number in numbers:
            (kept.restore if undo else kept.delete)(number)
        if purge:
            say(f"Removed {kept.purge(numbers or None)} conversation(s) for good.")
        elif undo:
            say(f"Brought back {_ranges(numbers)}.")
        else:
            again = " ".join(map(str, numbers))
            say(f"Removed {_ranges(numbers)}. Undo: edgechat history rm --undo {again}")


def _number(kept: History, given: str) -> int:
    """The conversation meant by ``ID`` or ``last``."""
    if given == _LAST:
        if (last := kept.last()) is None:
            raise InvalidInputError("There is no conversation yet.", hint='Begin one: edgechat ask -c "…"')
        return last.id
    # SQLite's numbers have 64 bits.
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise UsageError(f"{given!r} is not the id of a conversation.", hint="See: edgechat history list")
    try:
        return kept.conversation(int(given)).id
    except InvalidInputError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _print(message: Message, *, thoughts: bool) -> None:
    click.echo()
    click.secho({"user": "You", "assistant": "Assistant", "system": "System"}[message.role], bold=True)
    if thoughts and message.thought:
        click.secho(clean(message.thought).rstrip(), dim=True)
    if message.content:
        click.echo(clean(message.content).rstrip())
    if message.status != "complete":
        click.secho(f"({ending(message)})", dim=True)


def _lit(hit: Hit) -> str:
    """The snippet with what was found in bold."""
    lit, at = "", 0
    for start, end in hit.spans:
        lit += hit.snippet[at:start] + click.style(hit.snippet[start:end], bold=True)
        at = end
    return lit + hit.snippet[at:]


def _title(conversation: Conversation) -> str:
    return clean_line(conversation.title) or "(untitled)"


def _when(created_at: str | None) -> str:
    """Date and time without seconds, in UTC; empty when the clock was not set."""
    return clean_line(created_at or "")[:16].replace("T", " ")


def _ranges(numbers: list[int]) -> str:
    """``3, 5-9``: an import may bring a thousand."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _read(file: str, name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInputError(
            f"Cannot read {name}: {error.strerror}.", hint="Name a file that exists, or - for standard input."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name} is not UTF-8 text (byte {error.start}).") from error
