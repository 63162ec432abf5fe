"""A .venv that was interrupted, moved or made by hand ends up whole; a command of the setup never outlives it."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.bootstrap.environment import Environment, Stamps
from scripts.bootstrap.supervised import SetupError, run
from scripts.bootstrap.venv_repair import relocate, torn_distributions

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like a checkout, with nothing set up in it."""
    root = tmp_path / "check out"
    (root / ".build").mkdir(parents=True)
    (root / "constraints.txt").write_text("# pins\npip==26.3\nnumpy==2.2.6 ; python_full_version < '3.11'\n")
    return root


@pytest.fixture
def prepared(checkout) -> Environment:
    environment = Environment(checkout, [])
    Path(environment.environ["TMPDIR"]).mkdir()
    return environment


def test_a_stamp_says_done_only_at_the_end_and_takes_readiness_away_at_the_start(tmp_path):
    stamps = Stamps(tmp_path)
    stamps.begin("pip")
    assert stamps.read("pip") is None
    assert stamps.interrupted()
    stamps.done("pip", "26.3")
    stamps.write("ready.test", "all")
    assert (stamps.read("pip"), stamps.interrupted()) == ("26.3", False)
    stamps.begin("pip")
    assert stamps.read("ready.test") is None


def install(site: Path, name: str, *files: str) -> Path:
    """A package as pip leaves it: files and a RECORD with their sizes."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\n")
    rows = []
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text("x = 1\n")
        rows.append(f'"{file}",sha256=00,6')
    rows += [f"{info.name}/RECORD,,", f"{name}/__pycache__/a.cpython-311.pyc,,"]
    (info / "RECORD").write_text("\n".join(rows) + "\n")
    return info


def test_torn_packages_are_told_from_whole_ones(tmp_path):
    site = tmp_path / "lib/python3.11/site-packages"
    install(site, "whole", "whole/a.py", "whole/with, comma.py", "../../../bin/whole")
    (tmp_path / "bin/whole").write_text("a script whose first line has changed\n")
    unrecorded = install(site, "unrecorded", "unrecorded/a.py")
    (unrecorded / "RECORD").unlink()
    missing = install(site, "missing", "missing/a.py", "missing/b.py")
    (site / "missing/b.py").unlink()
    emptied = install(site, "emptied", "emptied/a.py")
    (site / "emptied/a.py").write_text("")  # what a power cut leaves
    assert torn_distributions(site) == [emptied, missing, unrecorded]


def venv_in(root: Path, *, pip: bool = False) -> Path:
    where = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", *([] if pip else ["--without-pip"]), str(where)], check=True)
    return where


@pytest.mark.process
@pytest.mark.parametrize("name", ["moved", "a clone", "clone2", "clone/inner", "clone-" + "long" * 40])
def test_a_moved_venv_runs_again_and_twice_is_the_same_as_once(tmp_path, name):
    old, new = tmp_path / "clone", tmp_path / name
    venv = venv_in(old)
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "_project.pth").write_text(f"{old}\n{old}-other\n")
    (old / "project_marker.py").write_text("import sys; print('here', *sys.argv[1:])\n")
    script = venv / "bin/tool"
    script.write_text(f"#!{old}/.venv/bin/python\nimport project_marker\n")
    script.chmod(0o755)
    info = site / "project-1.0.dist-info/direct_url.json"
    info.parent.mkdir()
    info.write_text(f'{{"url": "{old.as_uri()}"}}')

    away = tmp_path / "away"
    old.rename(away)
    new.parent.mkdir(exist_ok=True)
    away.rename(new)
    for _ in range(2):
        relocate(new / ".venv", str(old), str(new))
        said = subprocess.run([new / ".venv/bin/tool", "two words"], capture_output=True, text=True, check=True)
        assert said.stdout == "here two words\n"
        assert (new / site.relative_to(old) / "_project.pth").read_text() == f"{new}\n{old}-other\n"
        assert json.loads((new / info.relative_to(old)).read_text())["url"] == new.as_uri()


@pytest.mark.process
def test_a_venv_made_by_hand_is_taken_over_and_a_half_made_one_is_made_anew(checkout, prepared, capfd):
    venv = venv_in(checkout, pip=True)
    own = venv / "own.txt"
    own.touch()
    prepared._make_venv()
    assert own.exists()
    assert "already there" in capfd.readouterr().err
    assert prepared.stamps.read("venv") == str(checkout)

    prepared.stamps.folder.joinpath("venv").unlink()
    (prepared.build / "venv.begun").touch()  # as an interruption leaves it
    prepared._make_venv()
    assert not own.exists()
    assert prepared.stamps.read("venv") == str(checkout)
    assert not (prepared.build / "venv.begun").exists()


@pytest.mark.process
def test_a_venv_whose_python_is_gone_is_made_anew(checkout, prepared, capfd):
    venv = venv_in(checkout)
    for python in (venv / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/nonexistent/python3")
    prepared._make_venv()
    assert prepared._works()
    assert "does not work" in capfd.readouterr().err


def test_a_folder_that_is_no_venv_is_never_emptied(checkout, prepared):
    (checkout / ".venv").mkdir()
    (checkout / ".venv/thesis.txt").write_text("years of work")
    with pytest.raises(SetupError, match="no virtual environment") as refused:
        prepared._make_venv()
    assert refused.value.status == 8
    assert (checkout / ".venv/thesis.txt").exists()


def test_a_pin_is_read_from_the_constraints_and_a_missing_one_is_named(prepared):
    assert prepared.pin("pip") == "26.3"
    assert prepared.pin("numpy") == "2.2.6"
    with pytest.raises(SetupError, match="no version of llguidance"):
        prepared.pin("llguidance")


@pytest.mark.process
def test_a_failed_command_shows_the_end_of_its_log_and_where_it_lies(tmp_path, capfd):
    log = tmp_path / "log/build.log"
    with pytest.raises(SetupError) as failed:
        run(
            "Compiling",
            ["sh", "-c", "seq 40; echo error: no such header; exit 3"],
            log=log,
            env=os.environ,
            cwd=tmp_path,
        )
    message = str(failed.value)
    assert "error: no such header" in message
    assert str(log) in message
    assert "\n    20\n" not in message
    assert failed.value.status == 1
    assert re.search(r"Compiling: failed \(0:\d\d\)", capfd.readouterr().err)


@pytest.mark.process
def test_an_index_that_cannot_be_reached_is_exit_7_and_says_so(tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--retries", "1", "--index-url", "http://127.0.0.1:9/simple", "six"]
    pip += ["--target", str(tmp_path / "t"), "--no-cache-dir"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | {"PIP_CONFIG_FILE": os.devnull}
    with pytest.raises(SetupError, match="could not be reached") as failed:
        run("Installing", pip, log=tmp_path / "log", env=env, cwd=tmp_path)
    assert failed.value.status == 7


@pytest.mark.process
def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SetupError, match="/nonexistent/pip: No such file"):
        run("Installing", ["/nonexistent/pip"], log=tmp_path / "log", env={}, cwd=tmp_path)


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_never_outlives_the_setup_and_the_lock_is_held_until_it_is_gone(tmp_path, number):
    # It ignores SIGTERM, so that only the last resort ends it.
    stubborn = "trap '' TERM; echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.05; done"
    parent = f"""
import fcntl, os, pathlib, sys
sys.path.insert(0, {str(ROOT)!r})
from scripts.bootstrap import supervised
supervised.GRACE_S = 0.5
lock = open("lock", "a")
fcntl.flock(lock, fcntl.LOCK_EX)
supervised.run("Working", ["sh", "-c", {stubborn!r}], log=pathlib.Path("log"), env=os.environ, cwd=pathlib.Path())
"""
    setup = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists():
        time.sleep(0.02)
    worker = int((tmp_path / "pid").read_text())
    setup.send_signal(number)
    assert setup.wait() != 0
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for whoever still works there
        assert not alive(worker)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet reaped does not."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip()[:1] not in ("", "Z")
