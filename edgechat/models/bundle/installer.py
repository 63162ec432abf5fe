"""The installer on a stick, ``install.py`` there: standard library only, and nothing of edgechat is imported.

Checks every file of the stick, installs edgechat into a directory of its own beside older versions, imports the
models, lets the new version answer, and only then switches to it. The version before stays, for ``--rollback``.
The first installation trusts the stick, as whoever starts a script from it does, and shows the fingerprint to compare;
later ones are checked by the installed version first, against the keys it trusts, before anything of the stick runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STICK = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"
INSTALLER_FILES = ("install.py", "install.sh")
KEPT_VERSIONS = 2
_BEGUN = "installation-begun"
_REFUSED = "Nothing was installed. Export it again, perhaps onto another stick."


class InstallError(Exception):
    """Why nothing was installed, and the exit status (those of edgechat: 4 input, 7 verification, 8 disk)."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def expected_sums(stick: Path) -> bytes:
    """What SHA256SUMS has to say of the files that are here: the form of ``sha256sum``, sorted by name."""
    names = list(INSTALLER_FILES)
    for folder in ("metadata", "targets"):
        # Desktops leave files with a dot in front on sticks; nothing reads those.
        names += [f"{folder}/{each.name}" for each in (stick / folder).iterdir() if not each.name.startswith(".")]
    lines = []
    for name in sorted(names):
        file = stick / name
        if file.is_symlink() or not file.is_file():
            raise InstallError(f"The stick is refused: {name} is no plain file. {_REFUSED}", 7)
        lines.append(f"{_sha256(file)}  {name}\n")
    return "".join(lines).encode()


def check_stick(stick: Path) -> None:
    """Compare every file with SHA256SUMS.

    Raises:
        InstallError: a file was changed, is missing or is one too many.
    """
    try:
        found, listed = expected_sums(stick), (stick / SUMS).read_bytes()
    except OSError as error:
        raise InstallError(f"The stick cannot be read: {error}. {_REFUSED}", 7) from error
    if found != listed:
        changed = sorted(
            {line.partition(b"  ")[2] or line for line in set(found.split(b"\n")) ^ set(listed.split(b"\n"))}
        )
        names = ", ".join(name.decode("utf-8", "replace")[:100] for name in changed[:3])
        raise InstallError(f"The stick is refused: these do not agree with {SUMS}: {names}. {_REFUSED}", 7)


def read_contents(stick: Path) -> dict[str, Any]:
    """The list in ``bundle.json``, whose file name begins with its own hash."""
    (file,) = (stick / "targets").glob("*.bundle.json")
    contents: dict[str, Any] = json.loads(file.read_bytes())
    if not contents.get("app"):
        raise InstallError("This stick has models and no edgechat: import them with `edgechat models import`.", 4)
    return contents


def check_machine(app: dict[str, Any], machine: str, glibc: str, version: tuple[int, int]) -> None:
    """Whether this kit is for this machine.

    Args:
        app: what ``bundle.json`` says of the application.
        machine: as ``uname -m`` says.
        glibc: the C library's version, such as ``2.36``; "" for another C library.
        version: of Python.

    Raises:
        InstallError: it is not; the message says what would be.
    """
    if machine != app["target"]:
        raise InstallError(
            f"This stick is for {app['target']}, and this machine is {machine}. On a PC: edgechat models export … "
            f"--with-app --target {machine}",
            4,
        )
    if glibc == "":
        raise InstallError("This system's C library is not glibc, for which the wheels are made.", 4)
    tag = f"cp3{version[1]}"
    if not any(f"-{tag}-" in wheel for wheel in app["wheels"]):
        made_for = sorted({part for wheel in app["wheels"] for part in wheel.split("-") if part.startswith("cp3")})
        raise InstallError(
            f"This stick has no wheels for Python {version[0]}.{version[1]} (it has {', '.join(made_for)}). On a PC: "
            f"scripts/build-wheel --kit --python {version[0]}.{version[1]} --target {machine}",
            4,
        )


def check_space(folder: Path, wheels: int) -> None:
    """Whether the installed packages fit; wheels are compressed, and unpack and compile to four times their size.

    Raises:
        InstallError: they do not.
    """
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free, need = shutil.disk_usage(there).free, 4 * wheels
    if free < need:
        raise InstallError(f"{there} has {free >> 20} MiB free, and edgechat needs {need >> 20} MiB.", 8)


class Home:
    """Where versions are installed: ``versions/NAME``, and the links ``current`` and ``previous``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = folder / "versions"

    def version(self, link: str) -> str | None:
        """The version that ``current`` or ``previous`` points to."""
        try:
            return (self.folder / link).readlink().name
        except OSError:
            return None

    def program(self, version: str) -> Path:
        """The command of a version."""
        return self.versions / version / "bin/edgechat"

    def is_complete(self, version: str) -> bool:
        """Whether a version was installed to its end."""
        return self.program(version).exists() and not (self.versions / version / _BEGUN).exists()

    def switch(self, version: str) -> None:
        """Make a version the current one, in one rename; the one before becomes ``previous``."""
        current = self.version("current")
        if current == version:
            return
        if current is not None:
            self._link("previous", current)
        self._link("current", version)

    def prune(self) -> None:
        """Remove versions that nothing points to."""
        kept = {self.version("current"), self.version("previous")}
        for folder in self.versions.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _link(self, name: str, version: str) -> None:
        draft = self.folder / f".{name}.new"
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path("versions") / version)
        draft.replace(self.folder / name)


def install(stick: Path, home: Home, trust: str) -> None:
    """Check, install beside the old version, try, switch."""
    started = time.monotonic()
    _say("Checking every file of the stick …")
    check_stick(stick)
    contents = read_contents(stick)
    app = contents["app"]
    libc, glibc = platform.libc_ver()
    check_machine(app, platform.machine(), glibc if libc == "glibc" else "", sys.version_info[:2])
    confirm = ["--trust", trust] if trust else []
    current = home.version("current")
    if current is not None and home.is_complete(current):
        _say(f"The installed version, {current}, compares the signatures with the keys it trusts …")
        _require([str(home.program(current)), "models", "import", "--check", *confirm, str(stick)], "verifying", 7)
    name = app["name"]
    if not home.is_complete(name):
        check_space(home.folder, sum(file.stat().st_size for file in (stick / "targets").glob("*.whl")))
        _say(f"Installing edgechat {app['version']} into {home.versions / name} …")
        _unpack(stick, home, name, app["wheels"])
    program = str(home.program(name))
    _say("Verifying the signatures and installing the models …")
    _require([program, "models", "import", *confirm, str(stick)], "importing the models", 7)
    label = f"{contents['models'][0]['name']}:{contents['models'][0]['quant']}"
    _say(f"Trying it: {label} answers …")
    _smoke_test(home, name, label)
    home.switch(name)
    home.prune()
    shutil.copyfile(stick / "install.py", home.folder / "install.py")
    _link_command(home)
    _say(f"edgechat {app['version']} is installed ({time.monotonic() - started:.0f} s).")
    if home.version("previous"):
        _say(f"To go back to {home.version('previous')}: python3 -I {home.folder / 'install.py'} --rollback")


def roll_back(home: Home) -> None:
    """Switch to the version before.

    Raises:
        InstallError: there is none.
    """
    previous = home.version("previous")
    if previous is None or not home.is_complete(previous):
        raise InstallError("There is no version to go back to.", 4)
    home.switch(previous)
    _say(f"edgechat is {previous} again. The newer one stays, as the one to go back to.")


def _unpack(stick: Path, home: Home, name: str, wheels: dict[str, str]) -> None:
    """Make the version's own environment, from the wheels of the stick alone."""
    place = home.versions / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / _BEGUN).touch()
    # Without pip: Debian packs the module that would bring it separately, and the stick has one.
    _require([sys.executable, "-I", "-m", "venv", "--without-pip", str(place)], "making the environment", 8)
    with tempfile.TemporaryDirectory(prefix="edgechat-kit-") as links:
        for wheel, sha256 in wheels.items():
            (Path(links) / wheel).symlink_to(stick / "targets" / f"{sha256}.{wheel}")
        pip = next(Path(links).glob("pip-*.whl"))
        requirements = Path(links) / "requirements.txt"
        named = (Path(links) / wheel for wheel in wheels if wheel.startswith(("edgechat-", "pip-")))
        with requirements.open("x", encoding="utf-8") as lines:
            lines.writelines(f"{file}\n" for file in named)
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        command = [
            str(place / "bin/python"),
            "-I",
            str(pip / "pip"),
            "--isolated",
            "--disable-pip-version-check",
            "install",
        ]
        command += ["--quiet", "--no-index", "--only-binary", ":all:", "--find-links", links, "-r", str(requirements)]
        _require(command, "installing the packages", 8, environ)
    os.sync()
    (place / _BEGUN).unlink()


def _smoke_test(home: Home, name: str, label: str) -> None:
    program = str(home.program(name))
    with tempfile.TemporaryDirectory(prefix="edgechat-trial-") as trial:
        where = [str(home.versions / name / "bin/python"), "-I", "-c"]
        models = _require(
            [*where, "from edgechat.paths import Paths; print(Paths.from_env().models)"], "starting it", 6
        )
        environ = {**os.environ, "EDGECHAT_HOME": trial, "EDGECHAT_MODELS": models.strip()}
        command = [program, "ask", "-m", label, "-n", "16", "--temp", "0", "--no-stream", "Say hello."]
        try:
            if not _require(command, "its first answer", 6, environ).strip():
                raise InstallError("The new version gives an empty answer. The old one stays in use.", 6)
        finally:
            subprocess.run([program, "stop"], env=environ, capture_output=True, check=False)


def _link_command(home: Home) -> None:
    """Put ``edgechat`` into ~/.local/bin, unless something else has that name there."""
    command, link = home.folder / "current/bin/edgechat", Path.home() / ".local/bin/edgechat"
    if os.path.lexists(link) and not (link.is_symlink() and link.readlink() == command):
        _say(f"{link} is something else and stays as it is. Run: {command}")
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(link):
        link.symlink_to(command)
    on_path = str(link.parent) in os.environ.get("PATH", "").split(os.pathsep)
    _say("Run: edgechat" if on_path else f"Run: {link} (log in again to write `edgechat` alone)")


def _require(command: list[str], what: str, status: int, environ: dict[str, str] | None = None) -> str:
    """Run a command; its output. A question it asks reaches the user, since its input and messages are ours."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environ, check=False)
    except OSError as error:
        raise InstallError(f"{what.capitalize()} failed: {error}.", 8) from error
    if done.returncode != 0:
        code = done.returncode if done.returncode in range(2, 9) else status
        raise InstallError(
            f"{what.capitalize()} failed (exit code {done.returncode}): what was in use stays in use.", code
        )
    return done.stdout


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Parse, install or go back; the exit status."""
    parser = argparse.ArgumentParser(prog="install.sh", description="Install edgechat from this stick.")
    parser.add_argument("--trust", default="", metavar="FINGERPRINT", help="the publisher's, as the PC showed it")
    parser.add_argument("--rollback", action="store_true", help="go back to the version before")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="where versions are installed (default: ~/.local/share/edgechat-app)"
    )
    chosen = parser.parse_args()
    beside = STICK if (STICK / "versions").is_dir() else Path.home() / ".local/share/edgechat-app"
    home = Home((chosen.to or beside).absolute())
    try:
        if chosen.rollback:
            roll_back(home)
        else:
            install(STICK, home, chosen.trust)
    except InstallError as failed:
        _say(str(failed))
        return failed.status
    except OSError as error:
        _say(f"A file could not be read or written: {error}. What was in use stays in use.")
        return 8
    except KeyboardInterrupt:
        _say("Interrupted. What was in use stays in use; run the same command again to go on.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
