"""A click group whose commands are imported only when they run, so that ``--help`` and other commands stay fast."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


COMPLETION_VARIABLE = "_EDGECHAT_COMPLETE"
"""Set by the shell's script when it asks ``edgechat`` for completions; see click's page "Shell Completion"."""


class LazyGroup(click.Group):
    """A group of commands, each in a module of its own.

    Args:
        commands_by_name: name -> (``module:attribute`` of the command, its line in ``--help``).
        synonyms: words that users of other tools type -> the command to suggest for each.
        arguments: as for ``click.Group``.
    """

    def __init__(
        self,
        *,
        commands_by_name: Mapping[str, tuple[str, str]],
        synonyms: Mapping[str, str] | None = None,
        **arguments: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(**arguments)
        self._table, self._synonyms = commands_by_name, synonyms or {}

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in alphabetical order."""
        return sorted(self._table)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import one command; None when there is no such name."""
        if name not in self._table:
            return None
        module, _, attribute = self._table[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(self._table.items())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail with the name that was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in self._table:
            import difflib  # noqa: PLC0415 - needed only for the error message

            given = args[0].lower()
            similar = [self._synonyms[given]] if given in self._synonyms else []
            similar = similar or [name for name in self._table if sorted(name) == sorted(given)]  # `aks`
            similar = similar or difflib.get_close_matches(given, self._table, n=1)
            path = ctx.command_path
            hint = f" Did you mean `{path} {similar[0]}`?" if similar else f" See `{path} --help`."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)
