"""Renders a model's own chat template (Jinja) where it can do no harm.

A template comes inside a downloaded file, so it is code from a stranger. Here it runs in Jinja's immutable sandbox with
only the filters and tests that published templates use, with bounded ranges, products and powers; ``vetting.py`` tries
each new template in a limited child first, and the engine's watchdog ends one that still does not return.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.sandbox

from edgechat.errors import InvalidInputError, InvalidModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_TEXT = 16 * 1024 * 1024
_MAX_RANGE = 10_000
# What published chat templates use; filters that can grow text without bound (center, wordwrap, format) are not here.
_FILTERS = frozenset(
    """abs batch capitalize count default d dictsort e escape first float groupby indent int items join last length list
    lower map max min reject rejectattr replace reverse round safe select selectattr slice sort string sum title tojson
    trim truncate unique upper wordcount""".split()  # noqa: SIM905 - a list of 44 names is read as a paragraph
)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For files without a template whose vocabulary knows ``<|im_start|>``."""


class TemplateError(InvalidModelFileError):
    """The model's chat template is not valid Jinja or asks for what the sandbox refuses."""


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with operators that could build gigabytes out of a few characters kept in bounds."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(left) > 1_000_000 or abs(right) > 64):
            raise jinja2.exceptions.SecurityError("a power this large is refused")
        if operator == "*":
            sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
            if hasattr(sized, "__len__") and isinstance(times, int) and len(sized) * max(times, 0) > _MAX_TEXT:
                raise jinja2.exceptions.SecurityError("a product this large is refused")
        if operator == "%" and isinstance(left, str):
            raise jinja2.exceptions.SecurityError("string formatting with % is refused")
        if operator == "+" and isinstance(left, str) and isinstance(right, str) and len(left) + len(right) > _MAX_TEXT:
            raise jinja2.exceptions.SecurityError("a text this large is refused")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        # Formatting, padding and translation can grow text without bound or reach into objects.
        if isinstance(obj, str) and attr in {"format", "format_map", "center", "ljust", "rjust", "zfill", "expandtabs"}:
            return False
        return super().is_safe_attribute(obj, attr, value)


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: Jinja text from the GGUF.
        bos: text of the BOS token; eos: text of the EOS token, as templates refer to them.

    Raises:
        TemplateError: the text is not a template this sandbox accepts.
    """

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        environment = _Sandbox(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], autoescape=False
        )
        environment.filters = {name: f for name, f in environment.filters.items() if name in _FILTERS}
        environment.filters["tojson"] = _tojson
        environment.globals = {
            "range": _bounded_range,
            "namespace": jinja2.utils.Namespace,
            "raise_exception": _refuse,
            # A prompt must not change with the clock: that would defeat prefix caching and reproducibility.
            "strftime_now": lambda _format: "",
        }
        # Some templates wrap the assistant's turn in the "generation" block of training libraries.
        source = source.replace("{% generation %}", "").replace("{% endgeneration %}", "")
        self._special = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError, MemoryError) as error:
            raise TemplateError(f"The model's chat template cannot be used: {error}.") from error

    def render(self, messages: Sequence[dict[str, str]], *, think: bool, add_generation_prompt: bool = True) -> str:
        """The prompt text of a conversation.

        Args:
            messages: ``role`` and ``content`` of each turn, oldest first.
            think: value of the ``enable_thinking`` switch that thinking models' templates read.
            add_generation_prompt: end with the opening of the assistant's turn.

        Raises:
            InvalidInputError: the template itself rejects this conversation (wrong order of roles, say).
            TemplateError: the template fails, or the sandbox stopped it.
        """
        try:
            return self._template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                enable_thinking=think,
                tools=None,
                **self._special,
            )
        except _RefusedError as error:
            raise InvalidInputError(f"The model's chat template rejects this conversation: {error}.") from error
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise TemplateError(f"The model's chat template failed: {error}.") from error
        except (RecursionError, MemoryError) as error:
            raise TemplateError(f"The model's chat template asks for too much ({type(error).__name__}).") from error

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


def _refuse(message: object) -> None:
    raise _RefusedError(str(message))


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > _MAX_RANGE:
        raise jinja2.exceptions.SecurityError(f"a range of more than {_MAX_RANGE} is refused")
    return numbers


def _tojson(value: Any, indent: int | None = None, **_options: Any) -> str:
    # Jinja's own filter escapes <, > and & for HTML, which would change the prompt.
    return json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(int(indent), 8))
