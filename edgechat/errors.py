"""The one error tree of edgechat, and the exit code each branch ends with.

    EdgechatError                       1   a defect in edgechat itself
    ├── UsageError                      2   wrong flags or arguments
    ├── NoModelError                    3   no model, or none that fits
    │   ├── ModelNotFoundError
    │   ├── DoesNotFitError
    │   ├── ModelBusyError                  another client keeps the resident model
    │   └── LicenceNotAcceptedError
    ├── InvalidInputError               4   what the caller passed cannot be used
    │   ├── WrongModelError                 a chat model asked for embeddings, or the reverse
    │   ├── ContextOverflowError            prompt longer than the context window
    │   ├── SchemaError                     a JSON schema that cannot be honoured
    │   └── InvalidModelFileError           not a GGUF, damaged, or unsupported
    ├── AnswerError                     5   no complete answer that satisfies the schema
    │   └── DeadlineError                   the time allowed ran out
    ├── EngineError                     6   the engine died and did not come back
    │   ├── EngineBusyError                 it has as many clients or requests as it can hold
    │   └── EngineProtocolError             client and engine do not understand each other
    ├── TransferError                   7   download or verification failed
    └── StateError                      8   state could not be read or written

A message names what is wrong; ``hint`` is the command or step that mends it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes that scripts rely on; documented in the README."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    NO_MODEL = 3
    INVALID_INPUT = 4
    ANSWER = 5
    ENGINE = 6
    TRANSFER = 7
    STATE = 8
    INTERRUPTED = 130
    TERMINATED = 143


class EdgechatError(Exception):
    """Root of the tree: an error that edgechat reports in one line.

    Attributes:
        message: what happened, naming the thing.
        hint: what to do next, or ``""`` when the message already says it.
    """

    exit_code = ExitCode.DEFECT

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(EdgechatError):
    """The command line or the call cannot be understood."""

    exit_code = ExitCode.USAGE


class NoModelError(EdgechatError):
    """There is no model to answer with."""

    exit_code = ExitCode.NO_MODEL


class ModelNotFoundError(NoModelError):
    """The named model is neither installed nor a file."""


class DoesNotFitError(NoModelError):
    """No plan fits the free memory."""


class ModelBusyError(NoModelError):
    """Another client keeps a different model resident and switching was forbidden."""


class LicenceNotAcceptedError(NoModelError):
    """The model's licence needs an acceptance that has not been recorded."""


class InvalidInputError(EdgechatError):
    """A prompt, record, file or schema that cannot be used."""

    exit_code = ExitCode.INVALID_INPUT


class WrongModelError(InvalidInputError):
    """The model is of another kind than the request needs: it makes embeddings and no text, or the reverse."""


class ContextOverflowError(InvalidInputError):
    """The prompt does not fit the context window.

    Attributes:
        prompt_tokens: tokens in the rendered prompt.
        n_ctx: tokens the context holds.
        is_largest: the model was trained on no larger context, so that asking for one would not help.
        dropped: messages that must be left out for the rest to fit; 0 where none may.
    """

    def __init__(
        self, prompt_tokens: int, n_ctx: int, *, message: str = "", hint: str = "", is_largest: bool = False
    ) -> None:
        way_out = "Shorten the input, or ask for a larger context with --ctx."
        if is_largest:
            way_out = "Shorten the input, or choose a model with a larger context: this one was trained on no more."
        super().__init__(
            message or f"The prompt is {prompt_tokens} tokens; the context holds {n_ctx} and needs room for an answer.",
            hint=hint or way_out,
        )
        self.is_largest = is_largest
        self.prompt_tokens = prompt_tokens
        self.n_ctx = n_ctx
        self.dropped = 0


class SchemaError(InvalidInputError):
    """A JSON schema that is invalid, or has a keyword that decoding cannot enforce.

    Attributes:
        path: JSON Pointer to the place in the schema.
    """

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class InvalidModelFileError(InvalidInputError):
    """A model file that is damaged, is not a GGUF, or that this build cannot load."""


class AnswerError(EdgechatError):
    """The answer could not be made to satisfy the schema, or was cut off."""

    exit_code = ExitCode.ANSWER


class DeadlineError(AnswerError):
    """The time allowed for the answer ran out."""


class EngineError(EdgechatError):
    """The engine process died, or cannot be started.

    Attributes:
        cause: ``signal``, ``oom``, ``assert``, ``load``, ``template``, ``exit`` or ``unknown``.
    """

    exit_code = ExitCode.ENGINE

    def __init__(self, message: str, *, cause: str = "unknown", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


class EngineBusyError(EngineError):
    """The engine has as many clients or waiting requests as it can hold."""


class EngineProtocolError(EngineError):
    """Client or engine sent something that the protocol does not allow."""


class TransferError(EdgechatError):
    """A download, a copy or its verification failed."""

    exit_code = ExitCode.TRANSFER


class StateError(EdgechatError):
    """Something under the state directories could not be read or written."""

    exit_code = ExitCode.STATE
