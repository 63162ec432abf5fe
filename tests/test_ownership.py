"""Directories that another user can change are refused; files are opened without following what another user placed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import edgechat
from edgechat import files
from edgechat.errors import StateError
from edgechat.ownership import open_own, require_trusted
from edgechat.paths import Paths, private_directory

pytestmark = pytest.mark.process

ANOTHER = 54_321
PACKAGE = Path(edgechat.__file__).parent


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``path`` another user's: really for root, else by pretending to be somebody else."""
    if os.geteuid() == 0:
        os.chown(path, ANOTHER, ANOTHER, follow_symlinks=False)
    else:
        myself = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: myself + 1)


@pytest.mark.parametrize("name", ["config", "state", "data", "cache", "models"])
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_directory_that_others_can_write_is_refused_with_the_command(home, name, mode, monkeypatch) -> None:
    monkeypatch.setattr("edgechat.ownership._is_private_group", lambda _: False)
    (home / name).mkdir(parents=True)
    (home / name).chmod(mode)

    with pytest.raises(StateError, match="can be written by other users") as refused:
        Paths.from_env()

    assert f"chmod go-w {home / name}" in refused.value.hint
    (home / name).chmod(mode & ~0o022)
    assert Paths.from_env().state == home / "state"


def test_a_home_that_a_group_shares_is_refused(home, monkeypatch) -> None:
    monkeypatch.setattr("edgechat.ownership._is_private_group", lambda _: False)
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 0, ANOTHER)
        monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
        os.chown(home, ANOTHER, ANOTHER)
    home.chmod(0o2770)

    with pytest.raises(StateError, match="can be written by other users"):
        Paths.from_env()


def test_a_group_of_one_user_may_have_the_right_to_write(home, monkeypatch) -> None:
    """Distributions with a group for each user make directories with mode 0775."""
    monkeypatch.setattr("edgechat.ownership._is_private_group", lambda _: True)
    (home / "state").mkdir(parents=True)
    (home / "state").chmod(0o775)

    assert Paths.from_env().state == home / "state"


def test_a_directory_of_another_user_is_refused(home, monkeypatch) -> None:
    (home / "state").mkdir(parents=True)
    give_away(home / "state", monkeypatch)

    with pytest.raises(StateError, match="belongs to") as refused:
        Paths.from_env()

    assert "chown" in refused.value.hint


def test_a_directory_below_one_that_everybody_can_write_is_refused_unless_sticky(tmp_path) -> None:
    shared = tmp_path / "shared"
    own = shared / "home"
    own.mkdir(parents=True)
    shared.chmod(0o1777)
    require_trusted((own,))
    shared.chmod(0o777)

    with pytest.raises(StateError, match=r"shared can be written"):
        require_trusted((own,))


def test_a_link_leads_to_a_directory_that_is_checked(tmp_path) -> None:
    open_to_all = tmp_path / "open"
    (open_to_all / "state").mkdir(parents=True)
    open_to_all.chmod(0o777)
    (tmp_path / "link").symlink_to(open_to_all)

    with pytest.raises(StateError, match="can be written"):
        require_trusted((tmp_path / "link" / "state",))


def test_every_command_refuses_and_doctor_says_it(home) -> None:
    import subprocess
    import sys

    (home / "state").mkdir(parents=True)
    (home / "state").chmod(0o777)
    tool = Path(sys.executable).with_name("edgechat")

    for command in (["ask", "hi"], ["models", "list"], ["history", "list"], ["ps"]):
        done = subprocess.run([tool, *command], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert (done.returncode, f"chmod go-w {home / 'state'}" in done.stderr) == (8, True), done.stderr
    done = subprocess.run([tool, "doctor", "--json"], capture_output=True, text=True, check=False)
    assert f"chmod go-w {home / 'state'}" in done.stdout


def test_a_log_that_is_a_link_is_not_followed(paths, tmp_path) -> None:
    """llama.cpp's log was appended to a file of the user."""
    from edgechat.engine.state import log

    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = private_directory(paths.state / "logs")
    (folder / "engine.log").symlink_to(victim)

    with pytest.raises(StateError, match=r"engine\.log"):
        log.open_for_engine(paths.state)

    assert victim.read_text() == "precious"


def test_a_journal_that_is_a_link_is_not_followed(tmp_path) -> None:
    from edgechat.tasks.batch.journal import BatchJournal

    victim = tmp_path / "victim"
    victim.write_text("")
    (tmp_path / "out.jsonl.journal").symlink_to(victim)

    with pytest.raises(StateError):
        BatchJournal(tmp_path / "out.jsonl.journal", {}, resume=True)

    assert victim.read_text() == ""


def test_a_planted_temporary_file_is_not_followed(tmp_path) -> None:
    """``history export --out shared/x.md`` destroyed the target of a link ``shared/.x.md.new``."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".x.md.new").symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        files.write_atomically(tmp_path / "x.md", b"new")

    assert victim.read_text() == "precious"


def test_a_hard_link_in_a_directory_of_others_is_not_written(tmp_path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.link(victim, shared / ".x.md.new")
    shared.chmod(0o1777)

    with pytest.raises(OSError, match="hard link"):
        files.write_atomically(shared / "x.md", b"new")

    assert victim.read_text() == "precious"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "directory"])
def test_what_is_no_regular_file_is_refused_and_nothing_waits(tmp_path, make) -> None:
    make(tmp_path / "log")

    with pytest.raises(OSError, match=r"regular|directory"):
        open_own(tmp_path / "log", os.O_RDWR | os.O_CREAT)


def test_a_file_of_another_user_is_not_written(tmp_path, monkeypatch) -> None:
    (tmp_path / "log").write_text("theirs")
    give_away(tmp_path / "log", monkeypatch)

    with pytest.raises(OSError, match="another user"):
        files.append(tmp_path / "log", b"mine")

    assert (tmp_path / "log").read_text() == "theirs"


def test_an_output_that_is_another_users_link_is_refused(tmp_path, monkeypatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "x.md").symlink_to(victim)
    assert files.replaceable(tmp_path / "x.md") == victim
    give_away(tmp_path / "x.md", monkeypatch)

    with pytest.raises(StateError, match="symbolic link"):
        files.replaceable(tmp_path / "x.md")


def test_what_is_written_is_private(tmp_path) -> None:
    files.append(tmp_path / "log", b"line\n")
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_no_module_creates_a_file_in_another_way() -> None:
    """``os.open`` with O_CREAT, ``open("w")`` or ``write_text`` follow links; ``open("x")`` does not."""
    ways = (
        "os.O_CREAT",
        "write_text(",
        "write_bytes(",
        '.open("w',
        '.open("a',
        '.open("r+',
        '.open("rb+',
        "shutil.move(",
    )
    allowed = {
        ("ownership.py", "os.O_CREAT"),
        ("engine/child/process_memory.py", "write_text("),  # /proc/self/oom_score_adj
    }
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for line in file.read_text("utf-8").splitlines():
            if "open_own(" not in line:
                found |= {(str(file.relative_to(PACKAGE)), way) for way in ways if way in line}
    assert found - allowed == set()
