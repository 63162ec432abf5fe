"""``edgechat service install|remove|status``: the server as a systemd service, for one user or for the machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import say
from edgechat.errors import EdgechatError, ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.board.board import Board
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.service.systemd import Systemd
    from edgechat.service.unit import Unit

_SYSUSERS = Path("/etc/sysusers.d/edgechat.conf")
_SYSTEM = click.option("--system", "is_system", is_flag=True, help="A service of the machine, with a user of its own.")


@click.group()
def service() -> None:
    """Serve unattended: start at boot, restart on failure, stay within limits.

    \b
    edgechat service install
    edgechat service install --system -- --host 0.0.0.0 --port 8080
    edgechat service status
    edgechat service remove
    """  # noqa: D301 - click looks for the backspace character itself


@service.command()
@_SYSTEM
@click.option("--dry-run", is_flag=True, help="Print the unit; change nothing.")
@click.argument("arguments", nargs=-1, metavar="[-- SERVE-OPTIONS]")
def install(arguments: tuple[str, ...], *, is_system: bool, dry_run: bool) -> None:
    """Write a hardened unit for systemd and start it.

    What stands behind -- goes to `edgechat serve`. Run it again after another model was chosen: the memory limit is
    made for one plan.
    """
    from edgechat.service.systemd import Systemd  # noqa: PLC0415

    unit, choice, board = _unit(arguments, is_system=is_system)
    if dry_run:
        click.echo(unit.text(), nl=False)
        _explain(unit, choice, board)
        return
    manager = Systemd.of(is_system=is_system, say=lambda text: click.echo(f"  {text}", err=True))
    manager.require()
    if is_system:
        _require_root()
        _make_user(manager)
    else:
        for each in unit.writable:
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    manager.put(unit.text())
    if not is_system:
        _linger()
    _explain(unit, choice, board)
    say(f"It runs, and starts at every boot. The unit is {manager.file}; see `edgechat service status`.")
    if is_system:
        say("Who is in the group edgechat uses its engine too: sudo usermod -aG edgechat NAME, then log in anew.")


@service.command()
@_SYSTEM
def remove(*, is_system: bool) -> None:
    """Stop the service and remove its unit; models and conversations stay."""
    from edgechat.service.systemd import Systemd  # noqa: PLC0415
    from edgechat.service.systemd import remove as remove_file  # noqa: PLC0415

    manager = Systemd.of(is_system=is_system, say=lambda text: click.echo(f"  {text}", err=True))
    if not manager.file.exists():
        say(f"There is no service: {manager.file} does not exist.")
        return
    if is_system:
        _require_root()
    manager.require()
    manager.take_away()
    if is_system:
        remove_file(_SYSUSERS)
        say("The user edgechat and /var/lib/edgechat stay; `edgechat uninstall` says how to remove them.")
    say("The service is removed.")


@service.command()
@_SYSTEM
def status(*, is_system: bool) -> None:
    """Say whether the service is installed, how it runs, and whether its memory limit still fits the plan.

    Exit code 8 when it is not installed, or is not active.
    """
    from edgechat.service.systemd import Systemd  # noqa: PLC0415

    manager = Systemd.of(is_system=is_system, say=lambda _text: None)
    if not manager.file.exists():
        click.echo(f"not installed ({manager.file} does not exist)")
        say(f"To install it: edgechat service install{' --system' if is_system else ''}", indent="  ")
        raise click.exceptions.Exit(ExitCode.STATE)
    manager.require()
    found = manager.properties(
        "ActiveState", "SubState", "StatusText", "NRestarts", "MemoryCurrent", "MemoryMax", "Result"
    )
    click.echo(f"unit       {manager.file}")
    click.echo(
        f"state      {found.get('ActiveState', '?')} ({found.get('SubState', '?')}), result {found.get('Result')}"
    )
    click.echo(f"says       {found.get('StatusText') or 'nothing'}")
    click.echo(f"restarts   {found.get('NRestarts', '?')}")
    limit, used = found.get("MemoryMax", ""), found.get("MemoryCurrent", "")
    click.echo(f"memory     {_mb(used)} of {_mb(limit)}")
    try:
        _say_when_outgrown(limit, manager.file.read_text(), is_system=is_system)
    except (EdgechatError, click.ClickException, OSError, ValueError) as error:
        click.echo(f"plan       {error}")
    if found.get("ActiveState") != "active":
        raise click.exceptions.Exit(ExitCode.STATE)


def _unit(arguments: Sequence[str], *, is_system: bool) -> tuple[Unit, Choice, Board]:
    """The unit of ``edgechat serve ARGUMENTS``, and what its memory is made for.

    Raises:
        EdgechatError: as ``make_unit``; or these arguments serve nothing.
        click.ClickException: ``edgechat serve`` does not know them.
    """
    from edgechat.cli.serve import serve  # noqa: PLC0415 - it knows its own options
    from edgechat.engine.protocol.request import Wish  # noqa: PLC0415
    from edgechat.serve.http.listener import is_loopback  # noqa: PLC0415
    from edgechat.service.install import make_unit  # noqa: PLC0415

    options = serve.make_context("edgechat serve", list(arguments)).params
    if options["rotate_token"]:
        raise UsageError("--rotate-token ends at once; a service cannot do that.")
    return make_unit(
        arguments,
        Wish.of(options["model"], options["n_ctx"], exact=not options["allow_step_down"]),
        is_system=is_system,
        loopback_only=is_loopback(options["host"]),
    )


def _say_when_outgrown(limit: str, text: str, *, is_system: bool) -> None:
    """Compare the limit with what the unit's own command needs now; ``text`` is the unit's."""
    from edgechat.service.unit import serve_arguments  # noqa: PLC0415

    arguments = serve_arguments(text)
    unit, choice, _ = _unit(arguments, is_system=is_system)
    if limit.isdigit() and unit.memory_max > int(limit):
        again = shlex.join(
            ["edgechat", "service", "install", *["--system"] * is_system, *(["--", *arguments] if arguments else [])]
        )
        needs = f"{choice.label} needs {_mb(str(unit.memory_max))}"
        click.echo(f"plan       {needs}, more than the unit allows: run `{again}` again")


def _explain(unit: Unit, choice: Choice, board: Board) -> None:
    """What the memory limit was made for, on standard error."""
    need = choice.plan.memory.host
    if unit.has_memory_cgroup:
        say(
            f"{choice.label} needs {need / 1e6:.0f} MB; the service may use {unit.memory_max / 1e6:.0f} MB, server and "
            "reserve included."
        )
        return
    for note in board.notes:
        if "memory cgroup" in note:
            say(note)
    say(
        f"Instead each process is limited to {unit.address_space / 1e6:.0f} MB of address space (LimitAS), which its "
        f"plans respect; {choice.label} needs {need / 1e6:.0f} MB."
    )


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UsageError("A system service needs root.", hint="Use sudo, or leave --system out for one of your own.")


def _make_user(manager: Systemd) -> None:
    from edgechat.service.systemd import write  # noqa: PLC0415
    from edgechat.service.unit import sysusers  # noqa: PLC0415

    write(_SYSUSERS, sysusers())
    manager.say("systemd-sysusers edgechat.conf")
    done = subprocess.run(["systemd-sysusers", "edgechat.conf"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgechatError(f"systemd-sysusers failed: {done.stderr.strip()}")


def _linger() -> None:
    """Without it a user's services end at logout and start at login."""
    done = subprocess.run(["loginctl", "enable-linger"], capture_output=True, text=True, check=False)
    say("loginctl enable-linger", indent="  ")
    if done.returncode:
        say(
            "It failed, so the service starts at login and ends at logout. Run: sudo loginctl enable-linger $USER",
            indent="  ",
        )


def _mb(size: str) -> str:
    return f"{int(size) / 1e6:.0f} MB" if size.isdigit() and int(size) < 1 << 60 else "unlimited" if size else "?"
