"""``edgechat uninstall``: says what it would free, asks, and takes edgechat off this machine again."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import say
from edgechat.errors import StateError, UsageError
from edgechat.paths import Paths

if TYPE_CHECKING:
    from edgechat.service.belongings import Belonging
    from edgechat.service.systemd import Systemd

_MANY = 5


@click.command()
@click.option("--keep-models", is_flag=True, help="Leave the model store where it is.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def uninstall(*, keep_models: bool, yes: bool) -> None:
    """Stop the engine; remove services, settings, conversations, caches, logs and models. Says what it frees first."""
    from edgechat.engine.client import client  # noqa: PLC0415
    from edgechat.service.belongings import belongings, remove  # noqa: PLC0415
    from edgechat.service.unit import SYSTEM_HOME  # noqa: PLC0415

    places = [Paths.from_env()]
    if os.geteuid() == 0:
        service = Paths.from_env({"EDGECHAT_HOME": SYSTEM_HOME})
        places += [service] if service.config.parent.is_dir() and service != places[0] else []
    services = _services()
    found = [(paths, each) for paths in places for each in belongings(paths, keep_models=keep_models)]
    _say(services, [each for _, each in found], places[0] if keep_models else None)
    if not services and not found:
        click.echo("Nothing of edgechat is left here but the program itself.")
        _say_program()
        return
    if not yes:
        _confirm()
    for manager in services:
        manager.take_away()
    troubles: list[str] = []
    for paths in places:
        client.stop(paths)
    for _, each in found:
        troubles += remove(each)
    for paths in places:
        if paths.state.parent == paths.config.parent == paths.cache.parent:
            _remove_if_empty(paths.state.parent)
    if troubles:
        for text in troubles:
            say(f"not removed: {text}", indent="  ")
        raise StateError(f"{len(troubles)} files could not be removed.", hint="See the list above.")
    click.echo(f"Removed; {_size(sum(each.freed for _, each in found))} are free again.")
    _say_program()


def _confirm() -> None:
    """Ask whether all this may go; a script may answer through a pipe.

    Raises:
        UsageError: nobody is there to answer.
    """
    try:
        is_wanted = click.confirm("Remove all this?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise UsageError("Nobody answered.", hint="To remove all this without being asked, add --yes.") from None
    if not is_wanted:
        raise click.Abort


def _services() -> list[Systemd]:
    """The services that are installed and ours to remove."""
    from edgechat.service.systemd import Systemd  # noqa: PLC0415

    managers = [
        Systemd.of(is_system=system, say=lambda text: click.echo(f"  {text}", err=True)) for system in (False, True)
    ]
    found = []
    for manager in managers:
        if not manager.file.exists():
            continue
        if manager.is_system and os.geteuid() != 0:
            say(f"The system service {manager.file} stays: sudo edgechat service remove --system")
            continue
        found.append(manager)
    return found


def _say(services: list[Systemd], found: list[Belonging], kept: Paths | None) -> None:
    for manager in services:
        click.echo(f"{'service':22} {'':>9}  {manager.file}")
    for each in found:
        click.echo(f"{each.what:22} {_size(each.freed):>9}  {each.path} ({each.n_files} files)")
        for path in each.foreign[:_MANY]:
            click.echo(f"{'':22} {'stays':>9}  {path} (not edgechat's)")
        if len(each.foreign) > _MANY:
            click.echo(f"{'':22} {'stay':>9}  and {len(each.foreign) - _MANY} more")
    if kept is not None and kept.models.is_dir():
        click.echo(f"{'models':22} {'stay':>9}  {kept.models}")
    if found:
        click.echo(f"{'in all':22} {_size(sum(each.freed for each in found)):>9}")


def _say_program() -> None:
    click.echo(f"The program itself: {sys.executable} -m pip uninstall edgechat")


def _remove_if_empty(directory: os.PathLike[str]) -> None:
    try:
        os.rmdir(directory)  # noqa: PTH106 - it may be any kind of path
    except OSError:
        return  # not empty: something in it is not ours


def _size(n_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} B"
