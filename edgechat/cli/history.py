"""``edgechat history``: list, show, search, export, import and remove conversations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.chat import import_conversations
from edgechat.chat.export import conversation_json, incomplete_reason, message_json, safe_json, to_json, to_markdown
from edgechat.chat.history import History, history_file
from edgechat.cli.output.terminal import say
from edgechat.cli.text_input import read_text
from edgechat.errors import InvalidInputError, StateError, UsageError
from edgechat.files import replaceable, require_separate, write_atomically
from edgechat.paths import Paths
from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from edgechat.chat.conversation import Conversation, Hit, Message

_LAST = "last"


@click.group(invoke_without_command=True)
@click.pass_context
def history(ctx: click.Context) -> None:
    """List, show, search, export, import and remove conversations. Without a command: list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command, limit=None, deleted=False, as_json=False)


@history.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Show only the newest N.")
@click.option("--deleted", is_flag=True, help="Show the removed conversations that can still be restored.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(limit: int | None, *, deleted: bool, as_json: bool) -> None:
    """List conversations, the most recently used one first."""
    with History.open_to_read(Paths.from_env()) as store:
        found = store.conversations(-1 if limit is None else limit, is_deleted=deleted)
    if as_json:
        click.echo(safe_json([conversation_json(each) for each in found]))
        return
    if not found:
        click.echo("No removed conversations." if deleted else 'No conversations yet. Start one: edgechat ask -c "…"')
        return
    for each in found:
        click.echo(f"{each.id:>6}  {_when(each.created_at):<16}  {each.messages:>5} messages  {_title(each)}")


@history.command()
@click.argument("conversation", metavar="ID|last")
@click.option("--thoughts", is_flag=True, help="Also show the thoughts of a thinking model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(conversation: str, *, thoughts: bool, as_json: bool) -> None:
    """Print one conversation."""
    with History.open_to_read(Paths.from_env()) as store:
        chosen = store.transcript(_number(store, conversation))
    if as_json:
        messages = [{"id": each.id, **message_json(each)} for each in chosen.messages]
        # The list of messages takes the place of their number.
        click.echo(safe_json({**conversation_json(chosen.conversation), "messages": messages}))
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
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show at most N results."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(words: tuple[str, ...], limit: int, *, as_json: bool) -> None:
    """Find messages and titles that contain all WORDS.

    A word matches at the beginning of words; 東京 matches anywhere.
    """
    with History.open_to_read(Paths.from_env()) as store:
        hits = store.search(" ".join(words), limit)
    if as_json:
        click.echo(safe_json([asdict(hit) for hit in hits]))
        return
    if not hits:
        say("Nothing found.")
    for hit in hits:
        where = "title" if hit.role is None else hit.role
        click.echo(f"{hit.conversation:>6}  {_when(hit.created_at):<16}  {where:<9}  {_highlight(hit)}")


@history.command()
@click.argument("conversations", metavar="[ID|last]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(["md", "json"]), help="Default: by --out's name, else md.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to FILE instead of standard output.",
)
def export(conversations: tuple[str, ...], form: str | None, out: Path | None) -> None:
    """Write conversations as Markdown, or as JSON that `history import` can read. Default: all conversations."""
    paths = Paths.from_env()
    if out is not None:
        out = replaceable(out)
        database = history_file(paths)
        own = [
            database,
            *(database.with_name(database.name + end) for end in ("-wal", "-shm")),
            paths.config / "config.toml",
        ]
        require_separate([out], own)
    with History.open_to_read(paths) as store:
        numbers = [_number(store, each) for each in conversations] or [
            each.id for each in reversed(store.conversations())
        ]
        chosen = [store.transcript(number) for number in dict.fromkeys(numbers)]
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
    """Import conversations: an export of edgechat, or messages with role and content (JSON or JSONL)."""
    name = "Standard input" if file == "-" else file
    found = import_conversations.read(read_text(file), name)
    with History.open(Paths.from_env()) as store:
        added, known = store.add(found.transcripts)
    for note in found.notes:
        say(f"{clean_line(name)}: {note}")
    if known:
        say(f"{known} conversation(s) exist already and were not changed.")
    say(f"Imported {len(added)} conversation(s)" + (f": {_ranges(added)}." if added else "."))


@history.command()
@click.argument("conversations", metavar="[ID|last]...", nargs=-1)
@click.option("--undo", is_flag=True, help="Restore the removed conversations.")
@click.option("--purge", is_flag=True, help="Delete permanently: the given conversations, or all removed ones.")
def rm(conversations: tuple[str, ...], *, undo: bool, purge: bool) -> None:
    """Remove conversations. --undo restores them until they are purged."""
    if undo and purge:
        raise UsageError("--undo restores, and --purge deletes permanently: choose one.")
    if not conversations and not purge:
        raise UsageError("No conversation is named.", hint="Give its id: edgechat history list")
    with History.open(Paths.from_env()) as store:
        numbers = [_number(store, each) for each in conversations]
        for number in numbers:
            (store.restore if undo else store.delete)(number)
        if purge:
            say(f"Removed {store.purge(numbers or None)} conversation(s) permanently.")
        elif undo:
            say(f"Restored {_ranges(numbers)}.")
        else:
            ids = " ".join(map(str, numbers))
            say(f"Removed {_ranges(numbers)}. Undo: edgechat history rm --undo {ids}")


def _number(store: History, given: str) -> int:
    """The number of a conversation given as ``ID`` or ``last``.

    Raises:
        InvalidInputError: ``last``, and there is none.
        UsageError: no conversation has this id.
    """
    if given == _LAST:
        if (last := store.last()) is None:
            raise InvalidInputError("There is no conversation yet.", hint='Start one: edgechat ask -c "…"')
        return last.id
    # SQLite's integers have 64 bits.
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise UsageError(f"{given!r} is not the id of a conversation.", hint="See: edgechat history list")
    try:
        return store.conversation(int(given)).id
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
        click.secho(f"({incomplete_reason(message)})", dim=True)


def _highlight(hit: Hit) -> str:
    """The snippet, with the matches in bold."""
    text, at = "", 0
    for start, end in hit.spans:
        text += hit.snippet[at:start] + click.style(hit.snippet[start:end], bold=True)
        at = end
    return text + hit.snippet[at:]


def _title(conversation: Conversation) -> str:
    return clean_line(conversation.title) or "(untitled)"


def _when(created_at: str | None) -> str:
    """Date and time in UTC without seconds; empty when the clock was not set."""
    return clean_line(created_at or "")[:16].replace("T", " ")


def _ranges(numbers: list[int]) -> str:
    """Format numbers as ranges: ``3, 5-9``. An import may add a thousand."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
