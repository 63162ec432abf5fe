"""A Jinja environment for untrusted templates: no access to Python, and no value larger than its budget.

Jinja's own immutable sandbox keeps templates away from Python's internals, but lets a few characters build gigabytes.
Here every operation whose result can be larger than its input is counted first. Time is not bounded: nested loops are
legal, so callers must be able to end the process. Knows nothing of chats.
"""

from __future__ import annotations

import functools
import json
import string
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.compiler
import jinja2.filters
import jinja2.nodes
import jinja2.sandbox
import jinja2.utils
from jinja2.exceptions import SecurityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_TEXT = 4 * 1024 * 1024
"""Bytes of one value, on top of what the input needs."""

MAX_TOTAL = 64 * 1024 * 1024
"""The same for all values of one rendering together: a list of large texts is large too."""

MAX_RANGE = 10_000
MAX_NODES = 100_000
_ITEM = 8
"""Bytes of a place in a list; what stands there was counted when it was made."""
_BUILT = 64
"""Bytes of a small value: a number, a character, an empty list."""
_MAX_BITS = 4096  # of an integer: one operation on larger ones may take very long
_MAX_PRECISION = 30

# Methods that published chat templates call. Those that pad, format, encode or translate are left out.
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        """capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric
        isspace istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition
        rsplit rstrip split splitlines startswith strip swapcase title upper""".split()  # noqa: SIM905 - a word list
    ),
    dict: frozenset(("copy", "get", "items", "keys", "values")),
    list: frozenset(("copy", "count", "index")),
    tuple: frozenset(("count", "index")),
    bytes: frozenset(),
    int: frozenset(),
    float: frozenset(),
    complex: frozenset(),
}
_FILTERS = frozenset(
    """abs capitalize count default d dictsort first float groupby int items last length list lower map max min reject
    rejectattr reverse select selectattr sort title trim truncate unique upper wordcount""".split()  # noqa: SIM905
)
"""Jinja's own filters that are safe; others are replaced below or left out."""


class _Generator(jinja2.compiler.CodeGenerator):
    """Evaluates nothing at compile time, and routes every concatenation through the environment."""

    def visit_Concat(self, node: jinja2.nodes.Concat, frame: jinja2.compiler.Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.join_values((")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: jinja2.nodes.List, frame: jinja2.compiler.Frame) -> None:  # noqa: N802
        self.write("environment.charge_value(")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Getitem(self, node: jinja2.nodes.Getitem, frame: jinja2.compiler.Frame) -> None:  # noqa: N802
        if not isinstance(node.arg, jinja2.nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        # Jinja takes slices past the environment; each is a copy.
        self.write("environment.charge_value(")
        super().visit_Getitem(node, frame)
        self.write(")")

    def visit_Dict(self, node: jinja2.nodes.Dict, frame: jinja2.compiler.Frame) -> None:  # noqa: N802
        self.write("environment.charge_value(")
        super().visit_Dict(node, frame)
        self.write(")")

    def visit_Tuple(self, node: jinja2.nodes.Tuple, frame: jinja2.compiler.Frame) -> None:  # noqa: N802
        if node.ctx != "load":  # the targets of an assignment
            super().visit_Tuple(node, frame)
            return
        self.write("environment.charge_value(")
        super().visit_Tuple(node, frame)
        self.write(")")

    def _output_child_to_const(self, node: jinja2.nodes.Expr, frame: jinja2.compiler.Frame, finalize: Any) -> str:
        if not isinstance(node, jinja2.nodes.TemplateData):
            raise jinja2.nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The environment of one template. Call :meth:`begin` before each rendering; one rendering at a time."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
            autoescape=False,
            # Constant expressions would be computed at compile time, outside every limit.
            optimized=False,
            finalize=self._finalize,
        )
        self.filters = {name: f for name, f in self.filters.items() if name in _FILTERS}
        self.filters.update(
            {
                "batch": self._batch,
                "indent": self._indent,
                "join": self._join,
                "list": self._list,
                "replace": self._replace,
                "round": _round,
                # Nothing is escaped, so nothing needs to be marked as safe.
                "safe": self._text,
                "slice": self._slice,
                "string": self._text,
                "sum": self._sum,
                "tojson": self._tojson,
            }
        )
        self.filters = {name: self._charged(made) for name, made in self.filters.items()}
        self.globals = {"range": _bounded_range, "namespace": jinja2.utils.Namespace, "dict": dict}
        self._max_text, self._left = MAX_TEXT, MAX_TOTAL

    def begin(self, input_size: int) -> None:
        """Reset the budget for a rendering of ``input_size`` bytes."""
        self._max_text = MAX_TEXT + 2 * input_size
        self._left = MAX_TOTAL + 16 * input_size

    def charge_value(self, value: Any) -> Any:
        """Count a value that an operation has made from others, and return it.

        Only operations whose result is no larger than their input may be counted afterwards.
        """
        if isinstance(value, (str, bytes)):
            self.charge(size_of(value))
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            self.charge(_BUILT + _ITEM * len(value))
        return value

    def _charged(self, made: Callable[..., Any]) -> Callable[..., Any]:
        """A filter whose result is counted."""

        @functools.wraps(made)
        def filtering(*args: Any, **kwargs: Any) -> Any:
            return self.charge_value(made(*args, **kwargs))

        return filtering

    def charge(self, size: int) -> None:
        """Count ``size`` bytes before they are built.

        Raises:
            SecurityError: they exceed the budget.
        """
        self._left -= size
        if size > self._max_text or self._left < 0:
            raise SecurityError("it makes more text than a conversation can need")

    # -- operations of templates ---------------------------------------------------------------------------------------

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow the listed methods of built-in types; everything else follows Jinja's own rules."""
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind):
                return attr in methods
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format`` with plain fields only: ``"{:>9999999999}".format("")`` would allocate them all."""
        owner = getattr(value, "__self__", None)
        if not isinstance(owner, str) or getattr(value, "__name__", "") != "format":
            return None

        def fill(*args: Any, **kwargs: Any) -> str:
            pieces, fields = [], iter(args)
            for literal, field, spec, conversion in string.Formatter().parse(owner):
                pieces.append(literal)
                if field is None:
                    continue
                if spec or conversion or not (field == "" or field in kwargs):
                    raise SecurityError("string formatting with more than plain fields is refused")
                pieces.append(self._text(kwargs[field] if field else next(fields)))
            return self.concat(pieces)

        return fill

    def call(self, context: jinja2.runtime.Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method for the template, within the budget."""
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str):
            if name == "replace":
                return self._replace(owner, *args)
            if name == "join":
                return self._join_with(owner, *args)
            if name.endswith(("split", "splitlines")):
                self.charge(
                    _BUILT * (owner.count(args[0]) if args and isinstance(args[0], str) and args[0] else len(owner))
                )
            self.charge(size_of(owner))
        return self.charge_value(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator of :attr:`intercepted_binops`, within the budget."""
        if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
            self.charge(size_of(left) + size_of(right))
        elif operator == "*":
            sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
            if hasattr(sized, "__len__"):
                if isinstance(times, int):
                    self.charge(size_of(sized) * max(times, 0))
            elif _bits(left) + _bits(right) > _MAX_BITS:
                raise SecurityError("a product this large is refused")
        elif operator == "**" and isinstance(right, int) and _bits(left) * abs(right) > _MAX_BITS:
            raise SecurityError("a power this large is refused")
        elif operator == "%" and isinstance(left, (str, bytes)):
            raise SecurityError("string formatting with % is refused")
        return super().call_binop(context, operator, left, right)

    # A method here, an attribute (``str.join``) in Jinja's class.
    def concat(self, pieces: Iterable[str]) -> str:
        """Join the output of a block, a macro or the whole template."""
        made = []
        for piece in pieces:
            self.charge(size_of(piece) + _ITEM)
            made.append(piece)
        return "".join(made)

    def join_values(self, values: Iterable[Any]) -> str:
        """``a ~ b``."""
        return self.concat(self._text(value) for value in values)

    # -- values as text ------------------------------------------------------------------------------------------------

    def _finalize(self, value: Any) -> str:
        return self._text(value)

    def _text(self, value: Any) -> str:
        if isinstance(value, (list, tuple, dict)):
            self._charge_nested(value)
        return str(value)

    def _charge_nested(self, value: Any) -> None:
        """Count the text of a nested value: forty lists, each holding the last one twice, are 2^40 items."""
        pending, count = [value], 0
        while pending:
            each = pending.pop()
            count += 1
            if count > MAX_NODES:
                raise SecurityError(f"a value of more than {MAX_NODES} items is not written out")
            if isinstance(each, str):
                self.charge(size_of(each))
            elif isinstance(each, dict):
                pending += each.keys()
                pending += each.values()
            elif isinstance(each, (list, tuple)):
                pending += each

    def _tojson(self, value: Any, indent: int | None = None, **_options: Any) -> str:
        # Jinja's own filter escapes <, > and & for HTML, which would change the prompt.
        self._charge_nested(value)
        width = None if indent is None else min(int(indent), 8)
        return self.concat(json.JSONEncoder(ensure_ascii=False, indent=width).iterencode(value))

    # -- filters -------------------------------------------------------------------------------------------------------

    def _replace(self, text: Any, old: Any, new: Any, count: int | None = None) -> str:
        whole, gone, put = self._text(text), self._text(old), self._text(new)
        times = whole.count(gone) if count is None or count < 0 else min(whole.count(gone), count)
        self.charge(size_of(whole) + times * max(size_of(put) - len(gone), 0))
        return whole.replace(gone, put, -1 if count is None else count)

    @jinja2.pass_environment
    def _join(self, environment: jinja2.Environment, value: Any, d: Any = "", attribute: Any = None) -> str:
        if attribute is not None:
            value = map(jinja2.filters.make_attrgetter(environment, attribute), value)
        return self._join_with(self._text(d), value)

    def _join_with(self, separator: str, values: Iterable[Any]) -> str:
        pieces = []
        for each in values:
            piece = self._text(each)
            self.charge(size_of(piece) + size_of(separator))
            pieces.append(piece)
        return separator.join(pieces)

    def _indent(self, text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        text = self._text(text)
        self.charge(
            size_of(text) + (text.count("\n") + 1) * (size_of(width) if isinstance(width, str) else max(width, 0))
        )
        indented: str = jinja2.filters.do_indent(text, width, first, blank)
        return indented

    def _list(self, value: Iterable[Any]) -> list[Any]:
        items = []
        for each in value:
            self.charge(_BUILT)
            items.append(each)
        return items

    def _batch(self, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Any:
        self.charge(_ITEM * linecount)
        return jinja2.filters.do_batch(value, linecount, fill_with)

    def _slice(self, value: Iterable[Any], slices: int, fill_with: Any = None) -> Any:
        self.charge(_ITEM * slices)
        # Jinja's own filter is a wrapper for asynchronous environments; this is the plain function.
        return jinja2.filters.sync_do_slice(self._list(value), slices, fill_with)

    @jinja2.pass_environment
    def _sum(self, environment: jinja2.Environment, value: Any, attribute: Any = None, start: Any = 0) -> Any:
        if attribute is not None:
            value = map(jinja2.filters.make_attrgetter(environment, attribute), value)
        total = start
        for each in value:
            if hasattr(total, "__len__") and hasattr(each, "__len__"):
                self.charge(size_of(total) + size_of(each))
            total = total + each
        return total


def size_of(value: Any) -> int:
    """Bytes of a text, or of the places of a list; Python keeps a text that is not ASCII in up to four bytes each."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return len(value) if isinstance(value, bytes) else _ITEM * len(value)


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    if abs(precision) > _MAX_PRECISION:
        raise SecurityError(f"rounding to {precision} places is refused")
    return jinja2.filters.do_round(value, precision, method)  # type: ignore[arg-type]


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    # Not len(): it overflows for very long ranges.
    if numbers and (numbers[-1] - numbers[0]) // numbers.step >= MAX_RANGE:
        raise SecurityError(f"a range of more than {MAX_RANGE} is refused")
    return numbers


def _bits(number: Any) -> int:
    return number.bit_length() if isinstance(number, int) else 0
