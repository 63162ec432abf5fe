"""``edgechat service``: install, remove and inspect the server as a systemd service of a user or of the system."""

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
_SYSTEM = click.option("--system", "is_system", is_flag=True, help="A system service with its own user.")


@click.group()
def service() -> None:
    """Run the server as a systemd service: it starts at boot, restarts after failures, and has a memory limit.

    \b
    edgechat service install
    edgechat service install --system -- --host 0.0.0.0 --port 8080
    edgechat service status
    edgechat service remove
    """  # noqa: D301 - click needs the backspace character


@service.command()
@_SYSTEM
@click.option("--dry-run", is_flag=True, help="Print the unit and change nothing.")
@click.argument("arguments", nargs=-1, metavar="[-- SERVE-OPTIONS]")
def install(arguments: tuple[str, ...], *, is_system: bool, dry_run: bool) -> None:
    """Write a hardened systemd unit and start it.

    The arguments after -- go to `edgechat serve`. Run it again after you choose another model, because the memory limit
    is computed for one plan.
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
    manager.install(unit.text())
    if not is_system:
        _enable_linger()
    _explain(unit, choice, board)
    if "--no-token" not in unit.command:
        say(f"Clients need its token: {'sudo ' if is_system else ''}cat {_token_file(is_system=is_system)}")
    say(f"The service runs, and starts at every boot. Its unit is {manager.file}; see `edgechat service status`.")
    if is_system:
        say("To let a user share its engine: sudo usermod -aG edgechat NAME, then log in again.")


@service.command()
@_SYSTEM
def remove(*, is_system: bool) -> None:
    """Stop the service and remove its unit. Models and conversations are kept."""
    from edgechat.service.systemd import Systemd  # noqa: PLC0415
    from edgechat.service.systemd import remove as remove_file  # noqa: PLC0415

    manager = Systemd.of(is_system=is_system, say=lambda text: click.echo(f"  {text}", err=True))
    if not manager.file.exists():
        say(f"There is no service: {manager.file} does not exist.")
        return
    if is_system:
        _require_root()
    manager.require()
    manager.uninstall()
    if is_system:
        remove_file(_SYSUSERS)
        say("The user edgechat and /var/lib/edgechat are kept; see: edgechat uninstall")
    say("The service is removed.")


@service.command()
@_SYSTEM
def status(*, is_system: bool) -> None:
    """Print the state of the service, and whether its memory limit still fits the plan.

    Exit code 8 when it is not installed or not active.
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
        _warn_if_limit_is_small(limit, manager.file.read_text(), is_system=is_system)
    except (EdgechatError, click.ClickException, OSError, ValueError) as error:
        click.echo(f"plan       {error}")
    if found.get("ActiveState") != "active":
        raise click.exceptions.Exit(ExitCode.STATE)


def _unit(arguments: Sequence[str], *, is_system: bool) -> tuple[Unit, Choice, Board]:
    """Make the unit of ``edgechat serve ARGUMENTS``; also return the model for its memory limit, and the board.

    Raises:
        EdgechatError: as ``make_unit``; or ``--rotate-token`` is among the arguments.
        click.ClickException: ``edgechat serve`` refuses the arguments.
    """
    from edgechat.cli.serve import serve  # noqa: PLC0415 - for its options
    from edgechat.engine.protocol.request import Wish  # noqa: PLC0415
    from edgechat.serve.http.authentication import is_loopback  # noqa: PLC0415
    from edgechat.service.install import make_unit  # noqa: PLC0415

    options = serve.make_context("edgechat serve", list(arguments)).params
    if options["needs_token"] is None:
        # A service answers every user and program of the machine, day and night.
        arguments = [*arguments, "--token"]
    if options["rotate_token"]:
        raise UsageError("--rotate-token cannot be used for a service.")
    return make_unit(
        arguments,
        Wish.of(options["model"], options["n_ctx"], exact=not options["allow_step_down"]),
        is_system=is_system,
        loopback_only=is_loopback(options["host"]),
    )


def _token_file(*, is_system: bool) -> Path:
    from edgechat.serve.http.token import Token  # noqa: PLC0415
    from edgechat.service.install import service_paths  # noqa: PLC0415

    return Token(service_paths(os.environ, is_system=is_system)[0]).file


def _warn_if_limit_is_small(limit: str, text: str, *, is_system: bool) -> None:
    """Compare the memory limit with what the unit's command needs now; ``text`` is the unit file."""
    from edgechat.service.unit import serve_arguments  # noqa: PLC0415

    arguments = serve_arguments(text)
    unit, choice, _ = _unit(arguments, is_system=is_system)
    if limit.isdigit() and unit.memory_max > int(limit):
        command = shlex.join(
            ["edgechat", "service", "install", *["--system"] * is_system, *(["--", *arguments] if arguments else [])]
        )
        needs = f"{choice.label} needs {_mb(str(unit.memory_max))}"
        click.echo(f"plan       {needs}, more than the unit allows: run `{command}` again")


def _explain(unit: Unit, choice: Choice, board: Board) -> None:
    """Print how the memory limit was computed, to standard error."""
    need = choice.plan.memory.host
    if unit.has_memory_cgroup:
        say(
            f"{choice.label} needs {need / 1e6:.0f} MB; the service may use {unit.memory_max / 1e6:.0f} MB, including "
            "the server and a reserve."
        )
        return
    for note in board.notes:
        if "memory cgroup" in note:
            say(note)
    say(
        f"Instead each process is limited to {unit.address_space / 1e6:.0f} MB of address space (LimitAS), which "
        f"plans take into account; {choice.label} needs {need / 1e6:.0f} MB."
    )


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UsageError(
            "A system service needs root.", hint="Use sudo, or leave out --system for a service of your own user."
        )


def _make_user(manager: Systemd) -> None:
    from edgechat.service.systemd import write  # noqa: PLC0415
    from edgechat.service.unit import sysusers  # noqa: PLC0415

    write(_SYSUSERS, sysusers())
    manager.say("systemd-sysusers edgechat.conf")
    done = subprocess.run(["systemd-sysusers", "edgechat.conf"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgechatError(f"systemd-sysusers failed: {done.stderr.strip()}")


def _enable_linger() -> None:
    """Enable lingering: without it a user's services end at logout and start at login."""
    done = subprocess.run(["loginctl", "enable-linger"], capture_output=True, text=True, check=False)
    say("loginctl enable-linger", indent="  ")
    if done.returncode:
        say(
            "It failed, so the service starts at login and ends at logout. Run: sudo loginctl enable-linger $USER",
            indent="  ",
        )


def _mb(size: str) -> str:
    return f"{int(size) / 1e6:.0f} MB" if size.isdigit() and int(size) < 1 << 60 else "unlimited" if size else "?"
