"""The scripts people start: nothing to do costs one comparison, what changed is noticed, what is missing is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
NAMES_OF_TOOLS = ("sh", "cksum", "tr", "id", "sort", "uname", "cat", "dirname", "readlink", "mkdir")
# Stands where bootstrap/environment.py stands: tells that it was called, and leaves what a finished setup leaves.
STAND_IN = """\
import pathlib, sys
groups = [word for word in sys.argv[3:] if word != "--quiet"]
print("prepared", *groups, file=sys.stderr)
folder = pathlib.Path(".venv/.edgechat")
folder.mkdir(parents=True, exist_ok=True)
(folder / ".".join(["ready", *groups])).write_text(sys.argv[2])
"""
CHOICES = ("EDGECHAT_VISION", "EDGECHAT_CUDA", "EDGECHAT_WHEELS", "CMAKE_ARGS")
PROGRAM = '#!/bin/sh\nprintf "args:"; printf " [%s]" "$@"; printf "\\nstdin: "; cat\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts of this checkout around a program that tells what it was given."""
    root = tmp_path / "check out"
    (root / "edgechat").mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "edgechat/version.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "scripts/bootstrap/environment.py").write_text(STAND_IN)
    program = root / ".venv/bin/edgechat"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    return root


def start(script: Path, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if n not in CHOICES}
    return subprocess.run(
        [script, *arguments], input=stdin, capture_output=True, text=True, env={**kept, **variables}, check=False
    )


@pytest.mark.process
def test_stdin_stdout_and_arguments_reach_the_program_untouched(checkout):
    for stderr in ("prepared\n", ""):  # the second time there is nothing to do
        done = start(checkout / "scripts/edgechat", "ask", "two words", "", stdin="a document\n")
        assert done.stdout == "args: [ask] [two words] []\nstdin: a document\n"
        assert (done.returncode, done.stderr) == (0, stderr)


@pytest.mark.process
def test_it_runs_through_a_link_and_from_any_folder(checkout, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/edgechat").symlink_to("../check out/scripts/edgechat")
    assert start(tmp_path / "bin/edgechat", "ps").stdout.startswith("args: [ps]")
    monkeypatch.chdir(checkout / "scripts")
    assert subprocess.run(["sh", "edgechat", "ps"], capture_output=True, text=True, check=True).stdout.startswith(
        "args"
    )


def prepared_again(checkout: Path, **variables: str) -> bool:
    return "prepared" in start(checkout / "scripts/setup", "--quick", **variables).stderr


@pytest.mark.process
@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", "constraints.txt", "edgechat/version.py", "scripts/bootstrap/llama-build.cmake",
     "scripts/bootstrap/llama_wheel.py"],
)  # fmt: skip
def test_a_change_of_what_the_venv_is_made_from_is_noticed(checkout, name):
    assert [prepared_again(checkout), prepared_again(checkout)] == [True, False]
    before = (checkout / name).stat()
    text = (checkout / name).read_bytes()
    (checkout / name).write_bytes(bytes([text[0] ^ 1]) + text[1:])
    os.utime(checkout / name, ns=(before.st_atime_ns, before.st_mtime_ns))  # by its contents, not by its time
    assert [prepared_again(checkout), prepared_again(checkout)] == [True, False]


@pytest.mark.process
def test_a_move_is_noticed(checkout):
    assert prepared_again(checkout)
    moved = checkout.rename(checkout.parent / "moved")
    assert [prepared_again(moved), prepared_again(moved)] == [True, False]


@pytest.mark.process
def test_a_vanished_python_is_noticed(checkout):
    assert prepared_again(checkout)
    (checkout / ".venv/bin/python").unlink()
    (checkout / ".venv/bin/python").symlink_to("/nonexistent/python3")
    assert prepared_again(checkout)


@pytest.mark.process
@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_looked_at_even_when_it_is_empty(checkout, name):
    assert prepared_again(checkout)
    assert prepared_again(checkout, **{name: ""})


@pytest.mark.process
def test_a_group_is_ready_on_its_own_account(checkout):
    assert prepared_again(checkout)
    assert start(checkout / "scripts/setup", "--quick", "test").stderr == "prepared test\n"
    assert start(checkout / "scripts/setup", "--quick", "test").stderr == ""
    assert not prepared_again(checkout)


@pytest.mark.process
def test_a_failed_setup_starts_nothing(checkout):
    (checkout / "scripts/bootstrap/environment.py").write_text("import sys; sys.exit(7)\n")
    done = start(checkout / "scripts/edgechat", "ask")
    assert (done.returncode, done.stdout) == (7, "")


def bare_machine(tmp_path: Path, *also: str) -> Path:
    """A PATH with the few tools every system has, and these; a package manager is known by its name."""
    folder = tmp_path / "path"
    folder.mkdir()
    for name in NAMES_OF_TOOLS:
        real = shutil.which(name)
        assert real, name
        (folder / name).symlink_to(real)
    for name in also:
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.process
@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "apt-get install -y build-essential python3 python3-venv"),
        ("dnf", "dnf install -y gcc gcc-c++ python3"),
        ("pacman", "pacman -S --needed base-devel python"),
    ],
)
def test_what_is_missing_is_named_at_once_with_the_command_that_installs_it(checkout, tmp_path, manager, command):
    done = start(checkout / "scripts/edgechat", "ask", PATH=str(bare_machine(tmp_path, manager)))
    assert (done.returncode, done.stdout) == (1, "")
    for what in ("Python 3.10 or newer", "C compiler", "C++17 compiler"):
        assert what in done.stderr
    assert command in done.stderr
    assert "run the same command again" in done.stderr


@pytest.mark.process
def test_debian_without_venv_is_told_the_package_of_its_python(checkout, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/ensurepip.py").write_text("raise ImportError\n")  # Debian leaves the module out
    folder = bare_machine(tmp_path, "apt-get")
    for name in ("cc", "c++", "as"):
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "python3").symlink_to(sys.executable)
    done = start(checkout / "scripts/setup", PATH=str(folder), PYTHONPATH=str(tmp_path / "lib"))
    assert done.returncode == 1
    assert "Python's venv module" in done.stderr
    assert "compiler" not in done.stderr
    same = Path("/usr/bin/python3").resolve() == Path(sys.executable).resolve()
    package = "python3-venv" if same else f"python3.{sys.version_info.minor}-venv"
    assert f"apt-get install -y {package}\n" in done.stderr


@pytest.mark.process
def test_a_compiler_without_its_library_is_not_taken_for_one(checkout, tmp_path):
    folder = bare_machine(tmp_path, "apt-get", "c++")  # this c++ compiles nothing
    (folder / "python3").symlink_to(sys.executable)
    done = start(checkout / "scripts/setup", PATH=str(folder))
    assert "C++17 compiler with its library" in done.stderr
    assert "apt-get install -y build-essential\n" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("name", ["MINGW64_NT-10.0-22631", "CYGWIN_NT-10.0"])
def test_windows_is_refused_with_the_way_that_works(checkout, tmp_path, name):
    folder = bare_machine(tmp_path)
    (folder / "uname").unlink()
    (folder / "uname").write_text(f"#!/bin/sh\necho {name}\n")
    (folder / "uname").chmod(0o755)
    done = start(checkout / "scripts/edgechat", "ask", PATH=str(folder))
    assert (done.returncode, done.stdout, "WSL 2" in done.stderr) == (2, "", True)


@pytest.mark.process
def test_a_wheel_beside_the_checkout_spares_the_compilers(checkout, tmp_path):
    folder = bare_machine(tmp_path, "apt-get")
    (folder / "python3").symlink_to(sys.executable)
    assert "C compiler" in start(checkout / "scripts/setup", PATH=str(folder)).stderr
    machine = os.uname().machine
    (checkout.parent / f"llama_cpp_python-0.3.36-py3-none-manylinux_2_34_{machine}.whl").touch()
    assert start(checkout / "scripts/setup", PATH=str(folder)).stderr == "prepared\n"
    assert "C compiler" in start(checkout / "scripts/setup", PATH=str(folder), EDGECHAT_WHEELS="none").stderr
