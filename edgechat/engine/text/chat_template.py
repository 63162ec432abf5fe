"""Renders a model's own chat template (Jinja) where it can do no harm.

A template comes inside a downloaded file, so it is code from a stranger. ``sandbox.py`` keeps it inside and small;
``vetting.py`` tries each new template in a limited child first, and the engine's watchdog ends one that still does not
return.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jinja2

from edgechat.engine.text.jinja_sandbox import Sandbox
from edgechat.errors import InvalidInputError, InvalidModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SOURCE = 256 * 1024
"""Characters. The longest published chat templates have a tenth of it."""

# Training libraries mark the assistant's turn with a block that Jinja does not know.
_GENERATION = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For files without a template whose vocabulary knows ``<|im_start|>``."""


class TemplateError(InvalidModelFileError):
    """The model's chat template is not valid Jinja or asks for what the sandbox refuses."""


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
        # A prompt must not change with the clock: that would defeat prefix caching and reproducibility.
        self._sandbox.globals["strftime_now"] = _no_time
        self._special = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = self._sandbox.from_string(_GENERATION.sub(_as_condition, source))
        # Python's own compiler sees what Jinja made of the text, and complains in its own ways.
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
            switches: further variables by which this model's thinking is switched.
            tools: what the model may call; a template that knows no tools says nothing of them.

        Raises:
            InvalidInputError: the template itself rejects this conversation (wrong order of roles, say).
            TemplateError: the template fails, or the sandbox stopped it.
        """
        self._sandbox.begin(sum(len(str(value)) for message in (*messages, *tools) for value in message.values()))
        try:
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
        except Exception as error:  # whatever a stranger's code raises, it is the template that failed
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
    """One short line; Python's own resource errors often say nothing."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return text or f"it asks for too much ({type(error).__name__})"
