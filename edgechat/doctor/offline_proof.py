"""The page of ``edgechat doctor --proof`` for IT security: sockets, files and contents, each shown by a command.

Below each statement are a shell command and its output on this machine, so that a reader can repeat it without this
module.
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
from edgechat.engine.child.interpreter import python_command
from edgechat.errors import EngineError, StateError
from edgechat.models.store.installed import installed
from edgechat.paths import private_directory
from edgechat.tasks.result import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.paths import Paths

_COMMAND_TIMEOUT_S = 600
_QUESTION = "Hello"
_SYSCALLS = "%network,open,openat,creat"


@dataclass(frozen=True, slots=True)
class ProofStep:
    """One statement and the command that proves it."""

    statement: str
    """A key of ``STATEMENTS``."""
    command: str
    label: str = ""
    """The subject, where the same statement appears several times."""


def proof(paths: Paths, language: Language, *, on_step: Callable[[str], None] = lambda _command: None) -> str:
    """Run every command and make the page, as Markdown.

    Raises:
        EngineError: the observed question got no answer.
        StateError: the state directory cannot be written, or a command does not end.
    """
    scratch = private_directory(paths.state / "proof")
    method = "strace" if _can_trace() else "proc"
    try:
        parts = [
            f"# {TITLE[language]}",
            INTRODUCTION[language].format(scratch=f"`{scratch}`"),
            METHOD[method][language],
        ]
        if made := timestamp(time.time()):
            parts.append(f"{made[:10]}")
        for number, step in enumerate(proof_steps(paths, scratch, method), 1):
            on_step(step.command)
            statement = STATEMENTS[step.statement][language].format(label=step.label)
            output = run(step.command)
            if step.statement == "observe" and output.strip() != "0":
                raise EngineError(
                    f"The observed question ended with exit code {output.strip()}, so the page would prove nothing.",
                    cause="exit",
                    hint=f"See why: edgechat ask {_QUESTION}",
                )
            parts.append(f"**{number}. {statement}**\n\n```console\n$ {step.command}\n{output}```")
        return "\n\n".join(parts) + "\n"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run(command: str) -> str:
    """Run a shell command and return its output, standard error included.

    Raises:
        StateError: it does not end in time.
    """
    try:
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StateError(
            f"This command did not end within {_COMMAND_TIMEOUT_S // 60} minutes: {command}",
            hint="Run it in a shell to see what it waits for.",
        ) from error
    text = done.stdout.decode("utf-8", "replace")
    return text if not text or text.endswith("\n") else text + "\n"


def proof_steps(paths: Paths, scratch: Path, method: str) -> Iterator[ProofStep]:
    """Yield every statement with its command, in the order in which they must run.

    Args:
        paths: the directories of the installed edgechat.
        scratch: the directory of the observed edgechat.
        method: ``strace`` or ``proc``.
    """
    edgechat, packages = (shlex.join(python_command(name)) for name in ("edgechat", "edgechat.doctor.packages"))
    reader = f"{shlex.quote(sys.executable)} -I"
    trace, home = shlex.quote(str(scratch / "trace")), shlex.quote(str(scratch / "home"))
    # A nested shell that exits with the code of `ask`, after it has stopped the engine.
    ask = f"{edgechat} ask -n 8 {_QUESTION}; code=$?; {edgechat} stop; exit $code"
    models = f" EDGECHAT_MODELS={shlex.quote(str(paths.models))}" if paths.models.is_dir() else ""
    # Otherwise the shared engine of a service would answer, unobserved.
    alone = f"export EDGECHAT_HOME={home} EDGECHAT_SHARED={models}"
    setting = f"mkdir -p {shlex.quote(str(scratch))} && rm -rf {trace} {home} && {alone}"
    if method == "strace":
        # With seccomp-bpf only these calls stop the process; without it, Python starts several times slower.
        observer = f"strace --seccomp-bpf -f -qq -s 4096 -e trace={_SYSCALLS} -o {trace}"
    else:
        observer = f"{shlex.join(python_command('edgechat.doctor.syscall_trace'))} {trace} {home}"
    end = f"sh -c {shlex.quote(ask)} > /dev/null 2>&1; echo $?"
    yield ProofStep("observe", f"{setting} PYTHONDONTWRITEBYTECODE=1 && {observer} {end}")
    yield ProofStep("sockets", f"grep -oE 'socket\\(AF_[A-Z0-9]+' {trace} | sort -u")
    yield ProofStep("network", f"grep -cE 'socket\\((AF_INET|AF_INET6|AF_PACKET|AF_NETLINK)' {trace}")
    writing = f"grep -E 'O_WRONLY|O_RDWR|O_CREAT' {trace} | grep -v ' = -1 ' | grep -oE '\"/[^\"]*\"'"
    yield ProofStep("outside", f"{writing} | grep -vF {home} | sort -u")
    names = "sed -E 's/[0-9a-f]{32,64}/HASH/' | sort -u"
    yield ProofStep("inside", f"cd {home} && find . -type f | {names}")
    if _can_isolate():
        yield ProofStep("no-network", f"{setting} && unshare -rn {end}")
    read_directories = 'import json, sys; [print(d["name"], d["value"]) for d in json.load(sys.stdin)["directories"]]'
    yield ProofStep("directories", f"{edgechat} doctor --json | {reader} -c {shlex.quote(read_directories)}")
    yield ProofStep("port", f"{edgechat} serve --help | grep -oE 'default: (127[0-9.]*|[0-9]{{4}})'")
    yield from _program()
    for model in installed(paths):
        yield ProofStep("model", f"sha256sum {shlex.quote(str(model.path))}", model.label)
    read_models = (
        "import json, sys; "
        '[print(m["model"], m["quant"], m["licence"], m["source"]) for m in json.load(sys.stdin)["models"]]'
    )
    yield ProofStep("licences", f"{edgechat} models list --json | {reader} -c {shlex.quote(read_models)}")
    yield ProofStep("versions", f"{edgechat} --version")
    yield ProofStep("packages", packages)
    yield ProofStep("system", "uname -srm; id -un")


def _program() -> Iterator[ProofStep]:
    """Statements about the program's own files."""
    package = shlex.quote(str(Path(__file__).parents[1]))
    # Libraries that can open a connection to another machine. The web server's library only accepts connections.
    clients = "huggingface_hub|httpx2?|httpcore|urllib3?|requests|aiohttp|http|ftplib|smtplib|ssl"
    pattern = f"^ *(import|from) ({clients})([ .]|$)"
    found = f"grep -rE '{pattern}' --include='*.py' . | grep -v 'from aiohttp import web$' | cut -d: -f1 | sort -u"
    yield ProofStep("code", f"cd {package} && {found}")
    # Located by package metadata, because this process must not import llama.cpp.
    libraries = metadata.distribution(LLAMA).locate_file("llama_cpp/lib") if _is_installed(LLAMA) else None
    if libraries is not None:
        yield ProofStep(
            "native", f"cd {shlex.quote(str(libraries))} && grep -lE 'getaddrinfo|gethostbyname' -r . | wc -l"
        )


def _is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _can_trace() -> bool:
    """Whether strace 5.3 or later is installed and allowed to trace; some containers forbid it."""
    return _works("strace", "--seccomp-bpf", "-f", "-qq", "-o", os.devnull, "true")


def _can_isolate() -> bool:
    """Whether this user may create a network namespace."""
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
