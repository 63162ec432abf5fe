"""Tries a model file before it is used: it has to load and to answer, in an engine of its own.

The trial is ``edgechat ask`` in a process and a home of its own, so the resident engine and its conversation are left
alone and a model that kills llama.cpp costs nothing but the trial.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from edgechat.errors import (
    AnswerError,
    DoesNotFitError,
    EdgechatError,
    EngineError,
    ExitCode,
    InvalidModelFileError,
)
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.store.installed import InstalledModel

MAX_TOKENS = 24
TIMEOUT_S = 300
"""A Pi loads a 4 GB file from an SD card in two minutes."""
_KEPT = "The version that was in use stays so."
_SCHEMA = {
    "type": "object",
    "properties": {"well": {"type": "boolean"}},
    "required": ["well"],
    "additionalProperties": False,
}
_ERRORS: dict[int, type[EdgechatError]] = {
    ExitCode.NO_MODEL: DoesNotFitError,
    ExitCode.INVALID_INPUT: InvalidModelFileError,
    ExitCode.ANSWER: AnswerError,
}


def try_out(model: InstalledModel) -> None:
    """Load the model and let it answer twice: in words, and in JSON that a schema forces.

    Raises:
        EdgechatError: it does not fit, does not load, or gives no such answer; the message carries the engine's reason.
    """
    with tempfile.TemporaryDirectory(prefix="edgechat-trial-") as home:
        environment = {**os.environ, "EDGECHAT_HOME": home}
        environment.pop("EDGECHAT_MODELS", None)
        try:
            if not _ask(model, environment, "Say hello.").strip():
                raise AnswerError(f"{model.label} {model.version} loads and answers nothing.", hint=_KEPT)
            _require_json(model, _ask(model, environment, "Are you well?", "--schema", json.dumps(_SCHEMA)))
        finally:
            _run(["stop"], environment, 30)


def _ask(model: InstalledModel, environment: dict[str, str], prompt: str, *options: str) -> str:
    command = ["ask", "-m", str(model.path), "-n", str(MAX_TOKENS), "--temp", "0", "--no-stream", *options]
    try:
        done = _run([*command, "--timeout", str(TIMEOUT_S), prompt], environment, TIMEOUT_S + 60)
    except subprocess.TimeoutExpired as error:
        raise AnswerError(f"{model.label} {model.version} did not answer within {TIMEOUT_S} s.", hint=_KEPT) from error
    if done.returncode != ExitCode.OK:
        reason = clean_line(done.stderr.partition("edgechat: ")[2]) or f"exit code {done.returncode}"
        failure = _ERRORS.get(done.returncode, EngineError)
        raise failure(f"{model.label} {model.version} failed its trial: {reason}", hint=_KEPT)
    return done.stdout


def _require_json(model: InstalledModel, answer: str) -> None:
    try:
        value = json.loads(answer)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("well"), bool):
        raise AnswerError(f"{model.label} {model.version} does not keep to a JSON schema.", hint=_KEPT)


def _run(arguments: list[str], environment: dict[str, str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgechat", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
