"""``edgechat uninstall``: list edgechat's files and services, ask, and remove them."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.board.probe.summary import size
from edgechat.cli.output.terminal import say
from edgechat.errors import StateError, UsageError
from edgechat.paths import Paths

if TYPE_CHECKING:
    from edgechat.service.systemd import Systemd
    from edgechat.service.uninstall import OwnedFiles

_MAX_SHOWN = 5


@click.command()
@click.option("--keep-models", is_flag=True, help="Keep the model store.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def uninstall(*, keep_models: bool, yes: bool) -> None:
    """List, then remove: services, settings, conversations, caches, logs and models. The engine is stopped first."""
    from edgechat.engine.client import client  # noqa: PLC0415
    from edgechat.service.uninstall import owned_files, remove  # noqa: PLC0415
    from edgechat.service.unit import SYSTEM_HOME  # noqa: PLC0415

    path_sets = [Paths.from_env()]
    if os.geteuid() == 0:
        service = Paths.from_env({"EDGECHAT_HOME": SYSTEM_HOME})
        path_sets += [service] if service.config.parent.is_dir() and service != path_sets[0] else []
    services = _services()
    found = [(paths, each) for paths in path_sets for each in owned_files(paths, keep_models=keep_models)]
    _print_list(services, [each for _, each in found], path_sets[0] if keep_models else None)
    if not services and not found:
        click.echo("There are no files of edgechat but the program itself.")
        _print_program_removal()
        return
    if not yes:
        _confirm()
    for manager in services:
        manager.uninstall()
    failures: list[str] = []
    for paths in path_sets:
        client.stop(paths)
    for _, each in found:
        failures += remove(each)
    for paths in path_sets:
        if paths.state.parent == paths.config.parent == paths.cache.parent:
            _remove_if_empty(paths.state.parent)
    if failures:
        for text in failures:
            say(f"not removed: {text}", indent="  ")
        raise StateError(f"{len(failures)} files could not be removed.", hint="They are listed above.")
    click.echo(f"Removed. {size(sum(each.freed for _, each in found))} are free again.")
    _print_program_removal()


def _confirm() -> None:
    """Ask for confirmation. A script may answer through a pipe.

    Raises:
        UsageError: standard input ended without an answer.
    """
    try:
        is_confirmed = click.confirm("Remove all this?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise UsageError("No answer on standard input.", hint="To remove without a question, add --yes.") from None
    if not is_confirmed:
        raise click.Abort


def _services() -> list[Systemd]:
    """The installed services that this user may remove."""
    from edgechat.service.systemd import Systemd  # noqa: PLC0415

    managers = [
        Systemd.of(is_system=system, say=lambda text: click.echo(f"  {text}", err=True)) for system in (False, True)
    ]
    found = []
    for manager in managers:
        if not manager.file.exists():
            continue
        if manager.is_system and os.geteuid() != 0:
            say(f"The system service {manager.file} is kept. To remove it: sudo edgechat service remove --system")
            continue
        found.append(manager)
    return found


def _print_list(services: list[Systemd], found: list[OwnedFiles], kept: Paths | None) -> None:
    for manager in services:
        click.echo(f"{'service':22} {'':>9}  {manager.file}")
    for each in found:
        click.echo(f"{each.what:22} {size(each.freed):>9}  {each.path} ({each.n_files} files)")
        for path in each.foreign[:_MAX_SHOWN]:
            click.echo(f"{'':22} {'stays':>9}  {path} (not edgechat's)")
        if len(each.foreign) > _MAX_SHOWN:
            click.echo(f"{'':22} {'stay':>9}  and {len(each.foreign) - _MAX_SHOWN} more")
    if kept is not None and kept.models.is_dir():
        click.echo(f"{'models':22} {'stay':>9}  {kept.models}")
    if found:
        click.echo(f"{'in all':22} {size(sum(each.freed for each in found)):>9}")


def _print_program_removal() -> None:
    """Print the commands that remove the program itself: a checkout's environment, or the installed package."""
    from edgechat.doctor.installation import Installation  # noqa: PLC0415

    checkout = Installation.here().checkout
    if checkout is None:
        click.echo(f"The program itself: {sys.executable} -m pip uninstall edgechat")
        return
    own = [checkout / ".venv", checkout / ".build"]
    link = Path.home() / ".local/bin/edgechat"
    if link.is_symlink() and link.resolve() == checkout / "scripts/edgechat":
        own.append(link)
    paths = " ".join(shlex.quote(str(path)) for path in own if path.is_symlink() or path.exists())
    click.echo(f"The program itself: rm -r {paths}")


def _remove_if_empty(directory: os.PathLike[str]) -> None:
    try:
        os.rmdir(directory)  # noqa: PTH106 - it may be any kind of path
    except OSError:
        return  # not empty
