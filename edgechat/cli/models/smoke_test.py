"""The test of a new model version before it is used: it must load and answer in a separate engine.

The test runs ``edgechat ask`` in a separate process with a home of its own, so that neither the running engine nor its
conversation is affected, even by a model that crashes llama.cpp.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING

from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command, python_environment
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
_HINT = "The old version stays in use."
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


def smoke_test(model: InstalledModel) -> None:
    """Let the model answer twice: in text, and in JSON with a schema.

    Raises:
        EdgechatError: it does not fit, does not load, or does not answer; the message has the engine's reason.
    """
    with tempfile.TemporaryDirectory(prefix="edgechat-trial-") as home:
        environment = {**os.environ, "EDGECHAT_HOME": home}
        environment.pop("EDGECHAT_MODELS", None)
        try:
            if not _ask(model, environment, "Say hello.").strip():
                raise AnswerError(f"{model.label} {model.version} loads, but gives an empty answer.", hint=_HINT)
            _require_json(model, _ask(model, environment, "Are you well?", "--schema", json.dumps(_SCHEMA)))
        finally:
            _run(["stop"], environment, 30)


def _ask(model: InstalledModel, environment: dict[str, str], prompt: str, *options: str) -> str:
    command = ["ask", "-m", str(model.path), "-n", str(MAX_TOKENS), "--temp", "0", "--no-stream", *options]
    try:
        done = _run([*command, "--timeout", str(TIMEOUT_S), prompt], environment, TIMEOUT_S + 60)
    except subprocess.TimeoutExpired as error:
        raise AnswerError(f"{model.label} {model.version} did not answer within {TIMEOUT_S} s.", hint=_HINT) from error
    if done.returncode != ExitCode.OK:
        reason = clean_line(done.stderr.partition("edgechat: ")[2]) or f"exit code {done.returncode}"
        failure = _ERRORS.get(done.returncode, EngineError)
        raise failure(f"{model.label} {model.version} failed its test: {reason}", hint=_HINT)
    return done.stdout


def _require_json(model: InstalledModel, answer: str) -> None:
    try:
        value = json.loads(answer)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("well"), bool):
        raise AnswerError(f"{model.label} {model.version} does not answer with JSON that fits the schema.", hint=_HINT)


def _run(arguments: list[str], environment: dict[str, str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python_command("edgechat", *arguments),
        env=python_environment(environment),
        cwd=WORKING_DIRECTORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
