"""``edgechat completion``: the script that completes commands, options, models and tasks in bash, zsh and fish."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.cli.lazy_group import COMPLETION_VARIABLE
from edgechat.errors import EdgechatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the completion script of SHELL; without SHELL, that of your login shell.

    \b
    bash: edgechat completion bash > ~/.local/share/bash-completion/completions/edgechat
    zsh:  edgechat completion zsh > ~/.zfunc/_edgechat   (with ~/.zfunc in fpath)
    fish: edgechat completion fish > ~/.config/fish/completions/edgechat.fish
    """  # noqa: D301 - click reads the escape
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    name = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(name) if name in SHELLS else None
    if found is None:
        raise UsageError(f"There is no completion for the shell {name!r}.", hint=f"Name one of: {', '.join(SHELLS)}.")
    click.echo(found(ctx.find_root().command, {}, "edgechat", COMPLETION_VARIABLE).source())


def complete_installed(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The installed models whose label begins with what was typed."""
    from edgechat.models.store.installed import installed  # noqa: PLC0415
    from edgechat.paths import Paths  # noqa: PLC0415

    try:
        models = installed(Paths.from_env())
    except EdgechatError:
        return []  # the command itself reports it
    labels = {model.name for model in models} | {model.label.lower() for model in models}
    return matching(labels, incomplete)


def complete_catalog(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The installed models and the names in the catalog that begin with what was typed."""
    from edgechat.models.catalog.names import catalog_names  # noqa: PLC0415

    try:
        names = set(catalog_names())
    except EdgechatError:
        names = set()
    return matching(names | set(complete_installed(ctx, parameter, incomplete)), incomplete)


def matching(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin with what was typed, in alphabetical order."""
    return sorted(name for name in names if name.startswith(incomplete.lower()))
