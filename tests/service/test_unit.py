"""Units: what systemd's own checker says of them, whether the limit lets the plan in, and what they may touch."""

import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.cli.service import _warn_if_limit_is_small
from edgechat.engine.child.interpreter import python_command
from edgechat.errors import StateError
from edgechat.models.planning.reserve import reserve, usable_memory
from edgechat.service import install
from edgechat.service.notify import Notifier
from edgechat.service.systemd import Systemd
from edgechat.service.unit import Unit, serve_arguments

MIB = 1 << 20
UNIT = Unit(
    command=("/usr/bin/python3", "-m", "edgechat", "serve"),
    is_system=False,
    environment=(("EDGECHAT_HOME", "/srv/edge chat/100%"),),
    writable=(Path("/srv/edge chat/100%"),),
    mounts=(Path("/srv/edge chat/100%"),),
    needs_home=False,
    plan_bytes=400 * MIB,
    has_memory_cgroup=True,
    loopback_only=True,
)
ODD = replace(UNIT, command=(*UNIT.command, "-m", '/models/a "b" $HOME %h\\c.gguf'))
KINDS = {
    "user": ODD,
    "system": replace(ODD, is_system=True, loopback_only=False),
    "pi": replace(ODD, is_system=True, is_raspberry=True, has_memory_cgroup=False),
    "gpu": replace(ODD, has_gpu=True),
}


def lines(unit: Unit) -> list[str]:
    return unit.text().splitlines()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", KINDS.values(), ids=KINDS)
def test_systemd_finds_nothing_wrong_with_it(unit, tmp_path):
    file = tmp_path / "edgechat.service"
    file.write_text(unit.text())
    checked = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False
    )
    about_us = [line for line in checked.stderr.splitlines() if "edgechat.service" in line]
    assert (checked.returncode, about_us) == (0, []), checked.stderr
    command = ["systemd-analyze", "security", "--offline=true", file]
    rated = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    exposure = float(rated.stdout.rsplit("service:", 1)[1].split()[0])
    assert exposure <= 3.0


@pytest.mark.parametrize("size", [100 * MIB, 400 * MIB, 3000 * MIB, 12000 * MIB])
def test_the_plan_it_was_made_for_fits_into_its_limit_beside_the_server(size):
    unit = replace(UNIT, plan_bytes=size)
    board = load_board("ipc-16gb")
    limit = unit.memory_max
    inside = replace(board.memory, cgroup_limit=limit, cgroup_used=120 * MIB, available=limit - 120 * MIB)
    board = replace(board, memory=inside)
    assert usable_memory(board) - reserve(board).size >= size
    free = replace(board.memory, cgroup_limit=None, address_space_limit=unit.address_space, available=15 << 30)
    board = replace(board, memory=free)
    assert usable_memory(board) - reserve(board).size >= size


def test_without_a_memory_cgroup_each_process_has_a_ceiling_of_its_own():
    said = lines(KINDS["pi"])
    assert not [line for line in said if line.startswith("Memory")]
    assert f"LimitAS={KINDS['pi'].address_space}" in said
    assert [line for line in lines(UNIT) if line.startswith(("MemoryMax", "LimitAS"))] == [
        f"MemoryMax={UNIT.memory_max}"
    ]


def test_only_a_server_for_this_machine_is_cut_off_from_the_network():
    assert "IPAddressDeny=any" in lines(UNIT)
    assert not [line for line in lines(KINDS["system"]) if line.startswith("IPAddress")]


def test_the_kernel_takes_the_engine_and_the_service_goes_on():
    assert {"OOMPolicy=continue", "Restart=on-failure", "KillMode=mixed", "Type=notify"} <= set(lines(UNIT))


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgechat", "service", *arguments],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.process
def test_the_printed_unit_may_write_where_edgechat_keeps_things_and_nowhere_else(tmp_path):
    home, models = tmp_path / "home", tmp_path / "ssd"
    models.mkdir()
    done = command("install", "--dry-run", EDGECHAT_HOME=str(home), EDGECHAT_MODELS=str(models))
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    (writable,) = [line.partition("=")[2].split() for line in said if line.startswith("ReadWritePaths=")]
    assert {Path(each) for each in writable} == {home / n for n in ("config", "state", "data", "cache")} | {models}
    assert f"Environment=EDGECHAT_MODELS={models}" in said
    assert f"ExecStart={shlex.join(python_command('edgechat', 'serve', '--token'))}" in said
    assert "the service may use" in done.stderr
    assert not home.exists(), "a dry run left something behind"


@pytest.mark.process
def test_the_service_shares_the_engine_of_its_owners_commands(tmp_path):
    """Another state directory would mean another engine, and the weights in memory twice."""
    done = command("install", "--dry-run", EDGECHAT_HOME=str(tmp_path), EDGECHAT_STATE=str(tmp_path / "ram"))
    assert f"Environment=EDGECHAT_STATE={tmp_path / 'ram'}" in done.stdout.splitlines()


@pytest.mark.parametrize("unit", KINDS.values(), ids=KINDS)
def test_a_units_arguments_are_read_back_as_they_were_given(unit):
    assert serve_arguments(unit.text()) == ODD.command[4:]
    assert serve_arguments(UNIT.text()) == ()
    with pytest.raises(ValueError, match="serve"):
        serve_arguments("[Service]\nExecStart=/bin/true\n")


@pytest.mark.process
def test_an_outgrown_limit_is_measured_by_the_units_own_command(capsys):
    text = replace(UNIT, command=(*UNIT.command, "--ctx", "512", "--port", "8081")).text()
    _warn_if_limit_is_small("1", text, is_system=False)
    assert "`edgechat service install -- --ctx 512 --port 8081` again" in capsys.readouterr().out
    needed = serve_memory("--ctx", "512")
    assert needed < serve_memory("--ctx", "8192")
    _warn_if_limit_is_small(str(needed), text, is_system=False)
    assert capsys.readouterr().out == ""


def serve_memory(*arguments: str) -> int:
    """The limit that a new unit would get."""
    done = command("install", "--dry-run", "--", *arguments)
    return next(int(line.partition("=")[2]) for line in done.stdout.splitlines() if line.startswith("MemoryMax="))


@pytest.mark.process
def test_options_of_serve_are_checked_before_a_unit_holds_them(tmp_path):
    assert command("install", "--dry-run", "--", "--port", "x").returncode == 2
    done = command("install", "--dry-run", "--", "-m", "no-such-model", EDGECHAT_HOME=str(tmp_path))
    assert done.returncode == 3
    assert "no-such-model" in done.stderr


def test_a_program_that_the_services_user_cannot_reach_is_refused(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StateError, match="closed to other users") as refused:
        install._require_readable_by_all((closed / "python",))
    assert "/opt/edgechat" in refused.value.hint


FAKE = """#!/bin/sh
echo "$@" >> "$0.log"
case $2 in show) printf 'ActiveState=active\\nNRestarts=2\\n' ;; esac
[ ! -e "$0.fails" ] || { echo "Unit edgechat.service is bad." >&2; exit 1; }
"""


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A user's systemd, of which only the command is there."""
    fake = tmp_path / "bin" / "systemctl"
    fake.parent.mkdir()
    fake.write_text(FAKE)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    said: list[str] = []
    found = Systemd(False, tmp_path / "units", said.append)
    found.require(booted=tmp_path)
    return found, fake, said


@pytest.mark.process
def test_installing_writes_the_unit_and_starts_it_and_removing_undoes_it(manager):
    systemd, fake, said = manager
    systemd.install(UNIT.text())
    assert systemd.file.read_text() == UNIT.text()
    assert stat.S_IMODE(systemd.file.stat().st_mode) == 0o644
    asked = fake.with_suffix(".log").read_text().splitlines()
    assert asked == [line.removeprefix("systemctl ") for line in said]
    assert asked == ["--user daemon-reload", "--user enable edgechat.service", "--user restart edgechat.service"]
    assert systemd.properties("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "2"}
    assert systemd.uninstall()
    assert not systemd.file.exists()
    assert not systemd.uninstall()


@pytest.mark.process
def test_what_systemd_refuses_is_said_with_the_way_to_its_log(manager):
    systemd, fake, _ = manager
    fake.with_suffix(".fails").touch()
    with pytest.raises(StateError, match=r"edgechat\.service is bad") as refused:
        systemd.install(UNIT.text())
    assert "journalctl --user" in refused.value.hint


def test_without_systemd_installing_is_refused_and_says_what_else_to_do(tmp_path):
    with pytest.raises(StateError, match="does not run on this machine") as refused:
        Systemd(True, tmp_path).require(booted=tmp_path / "nothing")
    assert "--dry-run" in refused.value.hint


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_supervisor_is_told_in_its_own_words(tmp_path, is_abstract):
    name = f"@edgechat-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind("\0" + name[1:] if is_abstract else name)
        hears.settimeout(10)
        notifier = Notifier.from_env({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "120000000"})
        assert notifier is not None
        assert notifier.watchdog_s == 120
        notifier.ready("Listening\non 8080")
        assert hears.recv(999) == b"READY=1\nSTATUS=Listening on 8080"
        notifier.alive("ready")
        assert hears.recv(999) == b"WATCHDOG=1\nSTATUS=ready"
        notifier.stopping()
        assert hears.recv(999) == b"STOPPING=1"
    notifier.alive("nobody hears this")


def test_a_watchdog_of_another_process_and_a_socket_of_the_network_are_not_ours():
    assert Notifier.from_env({}) is None
    assert Notifier.from_env({"NOTIFY_SOCKET": "vsock:2:1234"}) is None
    other = Notifier.from_env({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"})
    assert other is not None
    assert other.watchdog_s is None
