"""Tries a chat template once in a child process with little memory and time, and keeps the verdict on disk.

The verdict is kept per template text and edgechat version, so only the first load of a model takes the time. The child
is this module run with ``-m``; it reads the template from standard input and prints its verdict as JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command, python_environment
from edgechat.errors import EngineError, InvalidModelFileError, StateError
from edgechat.files import write_json
from edgechat.paths import private_directory
from edgechat.version import __version__

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CPU_SECONDS = 2
ADDRESS_SPACE = 512 * 1024 * 1024
_WALL_SECONDS = 20  # a slow SD card may take long to start Python; the CPU limit is what counts
_LIMIT_SIGNALS = (-signal.SIGXCPU, -signal.SIGSEGV)  # a native stack that overflowed is a limit too
_OUT_OF_MEMORY = 71

_PROBES = (
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "x" * 20_000},
    ],
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check."""

    fault: str
    """Why the template is refused, or ``""``."""
    takes_system: bool
    """False where a system message must travel inside the first user message."""


class TemplateCheck:
    """The check of one template; its child runs while the model is being loaded."""

    def __init__(self, source: str, *, bos: str, eos: str, cache: Path) -> None:
        job = json.dumps({"source": source, "bos": bos, "eos": eos, "version": __version__})
        self._file = cache / "templates" / f"{hashlib.sha256(job.encode()).hexdigest()}.json"
        self._job = job
        self._known = self._read()
        self._child = None if self._known else _start_child()

    def verdict(self) -> Verdict:
        """Wait for the child, at most 20 s.

        Raises:
            InvalidModelFileError: the template is refused; the message says why.
            EngineError: it could not be tried, for a reason outside the template; the next load tries again.
        """
        if self._known is None and self._child is not None:
            self._known = self._ask_child(self._child)
            self._write(self._known)
        known = self._known
        if known is None:
            raise EngineError("The model's chat template was not tried.", cause="template")
        if known.fault:
            raise InvalidModelFileError(
                f"The chat template inside the model file was refused: {known.fault}.",
                hint="Choose another file of this model; `edgechat models list` shows what is installed.",
            )
        return known

    def abandon(self) -> None:
        """End the child: the model could not be loaded, so the verdict is not needed."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _read(self) -> Verdict | None:
        try:
            known = Verdict(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return None  # absent or damaged: it is made again
        return known if isinstance(known.fault, str) and isinstance(known.takes_system, bool) else None

    def _write(self, verdict: Verdict) -> None:
        try:
            private_directory(self._file.parent)
            write_json(self._file, asdict(verdict), sync=False)
        except (OSError, StateError) as error:
            print(f"the verdict on the chat template was not kept: {error}", file=sys.stderr)  # noqa: T201 - the log

    def _ask_child(self, child: subprocess.Popen[str]) -> Verdict:
        import subprocess  # noqa: PLC0415

        try:
            answer, _ = child.communicate(self._job, timeout=_WALL_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            # Its processor time is limited far below this, so the machine kept it from running.
            raise EngineError(
                f"The model's chat template could not be tried within {_WALL_SECONDS} s.",
                cause="template",
                hint="The machine is too busy; try again.",
            ) from None
        if child.returncode in _LIMIT_SIGNALS:
            return Verdict(f"rendering it takes more than {CPU_SECONDS} s", takes_system=False)
        if child.returncode == _OUT_OF_MEMORY:
            return Verdict(f"rendering it takes more than {ADDRESS_SPACE >> 20} MiB", takes_system=False)
        if child.returncode == -signal.SIGKILL:
            # Its own limits show otherwise: the machine's memory ran out, which is not the template's fault.
            raise EngineError("Memory ran out while the model's chat template was tried.", cause="oom")
        if child.returncode != 0:
            raise EngineError(
                f"The process that tries the model's chat template ended with status {child.returncode}.",
                cause="template",
                hint="Its error output is in the log; see `edgechat doctor`.",
            )
        return Verdict(**json.loads(answer))


def _start_child() -> subprocess.Popen[str]:
    import subprocess  # noqa: PLC0415 - 5 ms of imports, only for a template that was never tried

    return subprocess.Popen(
        python_command("edgechat.engine.text.template_check"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=WORKING_DIRECTORY,
        env=python_environment(),
    )


def examine(source: str, *, bos: str, eos: str) -> Verdict:
    """Render the probes; meant for the limited child, and for tests."""
    from edgechat.engine.text.chat_template import ChatTemplate, TemplateError  # noqa: PLC0415 - jinja2 belongs to the child
    from edgechat.errors import InvalidInputError  # noqa: PLC0415

    try:
        template = ChatTemplate(source, bos=bos, eos=eos)
        takes_system = template.takes_system
        for probe in _PROBES:
            if probe[0]["role"] == "system" and not takes_system:
                continue
            for think in (False, True):
                text = template.render(probe, think=think)
                if probe[-1]["content"].strip() not in text:
                    return Verdict("it leaves out what the user says", takes_system)
    except (TemplateError, InvalidInputError) as error:
        return Verdict(error.message.rstrip("."), takes_system=False)
    return Verdict("", takes_system)


def _main() -> None:
    import resource  # noqa: PLC0415 - POSIX only, and only here
    import time  # noqa: PLC0415

    import edgechat.engine.text.chat_template  # noqa: F401, PLC0415 - a slow board may need a second for Jinja alone

    limit = math.ceil(time.process_time()) + CPU_SECONDS
    # At the soft limit the kernel sends SIGXCPU, which is told apart; at the hard one SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    size = ADDRESS_SPACE
    if sys.platform == "linux":  # macOS refuses to lower RLIMIT_AS
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        size = ADDRESS_SPACE if hard == resource.RLIM_INFINITY else min(ADDRESS_SPACE, hard)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = json.load(sys.stdin)
    try:
        verdict = examine(job["source"], bos=job["bos"], eos=job["eos"])
    except MemoryError:
        if size < ADDRESS_SPACE:
            raise  # the machine's limit, not ours: it says nothing about the template
        sys.exit(_OUT_OF_MEMORY)
    json.dump(asdict(verdict), sys.stdout)


if __name__ == "__main__":
    _main()
