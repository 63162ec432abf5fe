"""One page for a site's IT security: what edgechat opens, writes and consists of, with the command behind each line.

Nothing is claimed that is not printed by a command on the page, and every output is what that command printed here. The
commands are plain shell, so that anybody can run them again without this module.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.doctor.installation import LLAMA
from edgechat.doctor.offline_proof_texts import INTRODUCTION, METHOD, STATEMENTS, TITLE, Language
from edgechat.errors import EngineError, StateError
from edgechat.models.store.installed import installed
from edgechat.paths import private_directory
from edgechat.tasks.result import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.paths import Paths

_PATIENCE_S = 600
_QUESTION = "Hello"
_SYSCALLS = "%network,open,openat,creat"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One statement and the command that shows it."""

    statement: str
    """A name in ``STATEMENTS``."""
    command: str
    label: str = ""
    """What the statement is about, where there are several of its kind."""


def proof(paths: Paths, language: Language, *, on_step: Callable[[str], None] = lambda _command: None) -> str:
    """Run every command and set the page, as Markdown.

    Args:
        paths: the installed edgechat's directories.
        language: of the statements; commands and outputs are what they are.
        on_step: told each command before it runs.

    Raises:
        EngineError: the question that was to be observed got no answer.
        StateError: nothing can be written below the state directory, or a command does not end.
    """
    scratch = private_directory(paths.state / "proof")
    method = "strace" if _traces() else "proc"
    try:
        parts = [
            f"# {TITLE[language]}",
            INTRODUCTION[language].format(scratch=f"`{scratch}`"),
            METHOD[method][language],
        ]
        if made := timestamp(time.time()):
            parts.append(f"{made[:10]}")
        for number, exhibit in enumerate(exhibits(paths, scratch, method), 1):
            on_step(exhibit.command)
            statement = STATEMENTS[exhibit.statement][language].format(label=exhibit.label)
            output = run(exhibit.command)
            if exhibit.statement == "observe" and output.strip() != "0":
                raise EngineError(
                    f"The observed question ended with exit code {output.strip()}, so a page would prove nothing.",
                    cause="exit",
                    hint=f"See why: edgechat ask {_QUESTION}",
                )
            parts.append(f"**{number}. {statement}**\n\n```console\n$ {exhibit.command}\n{output}```")
        return "\n\n".join(parts) + "\n"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run(command: str) -> str:
    """What a command prints, its errors included.

    Raises:
        StateError: it does not end.
    """
    try:
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StateError(
            f"This command has not ended within {_PATIENCE_S // 60} minutes: {command}",
            hint="Run it by hand to see what it waits for.",
        ) from error
    text = done.stdout.decode("utf-8", "replace")
    return text if not text or text.endswith("\n") else text + "\n"


def exhibits(paths: Paths, scratch: Path, method: str) -> Iterator[Exhibit]:
    """Every statement with its command, in the order in which they are to be run.

    Args:
        paths: the installed edgechat's directories.
        scratch: where the observed edgechat lives.
        method: ``strace`` or ``proc``.
    """
    python = shlex.quote(sys.executable)
    trace, home = shlex.quote(str(scratch / "trace")), shlex.quote(str(scratch / "home"))
    # A shell in a shell: one that ends with the answer's own exit code, and leaves no engine behind.
    ask = f"{python} -m edgechat ask -n 8 {_QUESTION}; code=$?; {python} -m edgechat stop; exit $code"
    models = f" EDGECHAT_MODELS={shlex.quote(str(paths.models))}" if paths.models.is_dir() else ""
    # A service's shared engine would answer instead, unobserved.
    alone = f"export EDGECHAT_HOME={home} EDGECHAT_SHARED={models}"
    setting = f"mkdir -p {shlex.quote(str(scratch))} && rm -rf {trace} {home} && {alone}"
    if method == "strace":
        # The kernel's filter stops a process at these calls only; without it Python starts several times slower.
        observer = f"strace --seccomp-bpf -f -qq -s 4096 -e trace={_SYSCALLS} -o {trace}"
    else:
        observer = f"{python} -m edgechat.doctor.syscall_trace {trace} {home}"
    end = f"sh -c {shlex.quote(ask)} > /dev/null 2>&1; echo $?"
    yield Exhibit("observe", f"{setting} PYTHONDONTWRITEBYTECODE=1 && {observer} {end}")
    yield Exhibit("sockets", f"grep -oE 'socket\\(AF_[A-Z0-9]+' {trace} | sort -u")
    yield Exhibit("network", f"grep -cE 'socket\\((AF_INET|AF_INET6|AF_PACKET|AF_NETLINK)' {trace}")
    writing = f"grep -E 'O_WRONLY|O_RDWR|O_CREAT' {trace} | grep -v ' = -1 ' | grep -oE '\"/[^\"]*\"'"
    yield Exhibit("outside", f"{writing} | grep -vF {home} | sort -u")
    names = "sed -E 's/[0-9a-f]{32,64}/HASH/' | sort -u"
    yield Exhibit("inside", f"cd {home} && find . -type f | {names}")
    if _isolates():
        yield Exhibit("no-network", f"{setting} && unshare -rn {end}")
    read_directories = 'import json, sys; [print(d["name"], d["value"]) for d in json.load(sys.stdin)["directories"]]'
    yield Exhibit("directories", f"{python} -m edgechat doctor --json | {python} -c {shlex.quote(read_directories)}")
    yield Exhibit("port", f"{python} -m edgechat serve --help | grep -oE 'default: (127[0-9.]*|[0-9]{{4}})'")
    yield from _program()
    for model in installed(paths):
        yield Exhibit("model", f"sha256sum {shlex.quote(str(model.path))}", model.label)
    read_models = (
        "import json, sys; "
        '[print(m["model"], m["quant"], m["licence"], m["source"]) for m in json.load(sys.stdin)["models"]]'
    )
    yield Exhibit("licences", f"{python} -m edgechat models list --json | {python} -c {shlex.quote(read_models)}")
    yield Exhibit("versions", f"{python} -m edgechat --version")
    yield Exhibit("packages", f"{python} -m edgechat.doctor.packages")
    yield Exhibit("system", "uname -srm; id -un")


def _program() -> Iterator[Exhibit]:
    """What is in the program itself."""
    package = shlex.quote(str(Path(__file__).parents[1]))
    # The libraries that know how to open a connection to another machine; the server's only accepts them.
    clients = "huggingface_hub|httpx2?|httpcore|urllib3?|requests|aiohttp|http|ftplib|smtplib|ssl"
    pattern = f"^ *(import|from) ({clients})([ .]|$)"
    found = f"grep -rE '{pattern}' --include='*.py' . | grep -v 'from aiohttp import web$' | cut -d: -f1 | sort -u"
    yield Exhibit("code", f"cd {package} && {found}")
    # Found by what the package says of itself: nothing here imports llama.cpp.
    libraries = metadata.distribution(LLAMA).locate_file("llama_cpp/lib") if _has(LLAMA) else None
    if libraries is not None:
        yield Exhibit(
            "native", f"cd {shlex.quote(str(libraries))} && grep -lE 'getaddrinfo|gethostbyname' -r . | wc -l"
        )


def _has(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _traces() -> bool:
    """Whether strace is there (5.3 or later) and may trace; some containers forbid it."""
    return _works("strace", "--seccomp-bpf", "-f", "-qq", "-o", os.devnull, "true")


def _isolates() -> bool:
    """Whether this user may make a network namespace."""
    return _works("unshare", "-rn", "true")


def _works(program: str, *arguments: str) -> bool:
    if shutil.which(program) is None:
        return False
    try:
        done = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
