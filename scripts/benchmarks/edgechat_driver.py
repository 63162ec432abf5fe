"""Drive edgechat as its users do: through its command line and the engine's client. Knows no other program."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgechat
from edgechat import config
from edgechat.board.probe.probe import probe
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state.oom_history import OomHistory
from edgechat.paths import Paths

if TYPE_CHECKING:
    from edgechat.models.planning.plan import LoadSettings


class OursFailedError(RuntimeError):
    """edgechat ended with an error; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One ``edgechat ask``: its statistics (interface: ``--stats=json``) and the wall time of the whole command."""

    stats: dict[str, Any]
    wall_s: float


class Edgechat:
    """The ``edgechat`` command of this environment, with its own home and a fixed number of threads."""

    def __init__(self, home: Path, threads: int) -> None:
        # A socket's path is short by law (107 bytes), so the home must be, too. Set for this whole process, since an
        # engine inherits the environment of whichever client starts it: the command, or :meth:`client`.
        os.environ |= {"EDGECHAT_HOME": str(home), "EDGECHAT_THREADS": str(threads)}
        self.environment = dict(os.environ)
        self.command = Path(sys.executable).with_name("edgechat")
        # As scripts/setup leaves it: where PYTHONDONTWRITEBYTECODE is set, each start would compile what was edited.
        compileall.compile_dir(Path(edgechat.__file__).parent, quiet=2)

    def ask(self, model: Path, prompt: str, *, max_tokens: int, temperature: float | None = None) -> Asked:
        """One answer.

        Args:
            model: a GGUF file.
            prompt: the user's message.
            max_tokens: longest answer.
            temperature: 0 for greedy; None for edgechat's own samplers.
        """
        arguments = ["ask", "-m", str(model), "-n", str(max_tokens), "--seed", "1", "--stats=json"]
        arguments += [] if temperature is None else ["--temp", str(temperature)]
        began = time.monotonic()
        done = self._run([*arguments, prompt])
        wall_s = time.monotonic() - began
        # stderr may hold notes for people before the statistics; those are one JSON object on a line.
        lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
        if not lines:
            raise OursFailedError(f"edgechat ask printed no statistics: {done.stderr[-1000:]}")
        return Asked(json.loads(lines[-1]), wall_s)

    def client(self) -> EngineClient:
        """A connection of its own to the engine, which is started when none runs."""
        return EngineClient(Paths.from_env(self.environment), keep_alive_s=600)

    def settings(self, model: Path, n_ctx: int | None = None) -> LoadSettings:
        """How the engine will load ``model`` here, so that the peers can be told the same."""
        paths = Paths.from_env(self.environment)
        choice = choose(
            Wish(model=str(model), n_ctx=n_ctx),
            paths=paths,
            config=config.load(paths.config, self.environment),
            board=probe(),
            offload=False,
            oom_history=OomHistory(),
        )
        return choice.plan.settings

    def stop(self) -> None:
        """Stop the engine, if one runs."""
        self._run(["stop"])

    def _run(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        command = [str(self.command), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=self.environment, check=False
        )
        if done.returncode:
            raise OursFailedError(f"edgechat {' '.join(arguments)[:200]} ended with {done.returncode}: {done.stderr}")
        return done
