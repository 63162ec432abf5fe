"""Renders a model's own chat template (Jinja) in a sandbox.

A template comes inside a downloaded file, so it is untrusted code. ``jinja_sandbox.py`` limits what it can reach and
build; ``template_check.py`` tries each new template in a limited child process first, and the engine's watchdog ends
one that still does not return.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jinja2

from edgechat.engine.child.process_memory import limited_memory
from edgechat.engine.text.jinja_sandbox import Sandbox, size_of
from edgechat.errors import InvalidInputError, InvalidModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_MEMORY = 256 * 1024 * 1024
"""Bytes by which a rendering may let this process grow."""
MAX_SOURCE = 256 * 1024
"""Characters. The longest published chat templates have a tenth of this."""

# A block that training libraries put around the assistant's turn; Jinja does not know it.
_GENERATION = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For files without a template whose vocabulary knows ``<|im_start|>``."""


class TemplateError(InvalidModelFileError):
    """The model's chat template is not valid Jinja, or does something that the sandbox refuses."""


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: Jinja text from the GGUF.
        bos: text of the BOS token; eos: text of the EOS token, as templates refer to them.

    Raises:
        TemplateError: the text is not a template this sandbox accepts.
    """

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        if len(source) > MAX_SOURCE:
            raise TemplateError(f"The model's chat template has {len(source)} characters; the limit is {MAX_SOURCE}.")
        self._sandbox = Sandbox()
        self._sandbox.globals["raise_exception"] = _refuse
        # A prompt that changes with the clock would defeat prefix caching and reproducibility.
        self._sandbox.globals["strftime_now"] = _no_time
        self._special = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = self._sandbox.from_string(_GENERATION.sub(_as_condition, source))
        # Jinja compiles the template to Python code, whose compiler raises errors of its own.
        except (jinja2.TemplateError, SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise TemplateError(f"The model's chat template cannot be used: {_reason(error)}.") from error

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        think: bool,
        add_generation_prompt: bool = True,
        switches: Mapping[str, bool] | None = None,
        tools: Sequence[dict[str, Any]] = (),
    ) -> str:
        """The prompt text of a conversation.

        Args:
            messages: ``role`` and ``content`` of each turn, oldest first.
            think: value of the ``enable_thinking`` switch that thinking models' templates read.
            add_generation_prompt: end with the opening of the assistant's turn.
            switches: further template variables that switch this model's thinking.
            tools: functions that the model may call; a template without a place for tools ignores them.

        Raises:
            InvalidInputError: the template itself rejects this conversation (wrong order of roles, say).
            TemplateError: the template fails, or the sandbox stopped it.
        """
        size = sum(size_of(str(value)) for message in (*messages, *tools) for value in message.values())
        self._sandbox.begin(size)
        try:
            # Beyond what the sandbox counts: what Python itself needs for it.
            with limited_memory(MAX_MEMORY + 64 * size):
                return self._template.render(
                    messages=[dict(message) for message in messages],
                    add_generation_prompt=add_generation_prompt,
                    tools=list(tools) or None,
                    **{"enable_thinking": think, **(switches or {})},
                    **self._special,
                )
        except _RefusedError as error:
            raise InvalidInputError(
                f"The model's chat template rejects this conversation: {_reason(error)}."
            ) from error
        except Exception as error:  # untrusted code may raise anything
            raise TemplateError(f"The model's chat template failed: {_reason(error)}.") from error

    @property
    def takes_system(self) -> bool:
        """False for templates that reject or drop a system message (Gemma 2, early Mistral)."""
        probe = [{"role": "system", "content": "SYSTEM-PROBE"}, {"role": "user", "content": "USER-PROBE"}]
        try:
            return "SYSTEM-PROBE" in self.render(probe, think=False)
        except (InvalidInputError, TemplateError):
            return False


class _RefusedError(jinja2.TemplateError):
    """The template called ``raise_exception``."""


def _refuse(message: object = "") -> None:
    raise _RefusedError(str(message))


def _no_time(_format: object = "") -> str:
    return ""


def _as_condition(match: re.Match[str]) -> str:
    before, ends, after = match.groups()
    return f"{{%{before} {'endif' if ends else 'if true'} {after}%}}"


def _reason(error: BaseException) -> str:
    """The error in one short line; resource errors of Python often have no text."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return text or f"it asks for too much ({type(error).__name__})"
