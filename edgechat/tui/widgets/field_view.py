"""One field of a form: label, editor and unit, and below them an error or a hint.

Lists and nested objects are fields that contain fields. A field gives its content as a plain value; the form tells it
its errors, addressed by JSON Pointer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Checkbox, Input, Select, Static, TextArea

from edgechat.plaintext import clean, clean_line
from edgechat.tui.form_fields import LEFT_OUT, Field, cell_of, value_of
from edgechat.tui.widgets.line_input import PlainInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult
    from textual.widget import Widget


class OnOff(Checkbox):
    """A check box that shows its state in characters and words, because colour alone is not enough."""

    BUTTON_LEFT, BUTTON_RIGHT = "", ""

    DEFAULT_CSS = """
    OnOff { background: transparent; }
    OnOff > .toggle--button, OnOff.-on > .toggle--button { color: $foreground; background: $surface; }
    """

    def __init__(self, *, is_on: bool) -> None:
        super().__init__(value=is_on, compact=True)
        self._show_state()

    def watch_value(self) -> None:
        """Show the new state."""
        self._show_state()
        super().watch_value()

    def _show_state(self) -> None:
        self.BUTTON_INNER = "[x]" if self.value else "[ ]"
        self.label = "on" if self.value else "off"


class FieldView(Vertical):
    """A field with one editor."""

    DEFAULT_CSS = """
    FieldView { height: auto; }
    FieldView > Horizontal { height: auto; }
    FieldView .label { width: 22; height: auto; padding: 0 1 0 0; }
    FieldView .unit { width: 6; height: 1; padding: 0 0 0 1; color: $text-muted; }
    FieldView .note { height: auto; color: $text-muted; padding: 0 0 0 22; display: none; }
    FieldView.-focused > .note { display: block; }
    FieldView.-wrong > .note { display: block; color: $text-error; }
    FieldView.-no-note > .note { display: none; }
    FieldView.-wrong > Horizontal > .label { color: $text-error; }
    FieldView Input { width: 1fr; background: $surface; }
    FieldView Input:focus { background: $panel; }
    FieldView Select { width: 1fr; }
    FieldView TextArea {
        width: 1fr; height: auto; min-height: 1; max-height: 6; border: none; padding: 0; background: $surface;
    }
    FieldView TextArea:focus { border: none; background: $panel; }
    """

    class Changed(Message):
        """The content of a field changed."""

    def __init__(self, field: Field, initial: object = LEFT_OUT) -> None:
        super().__init__()
        self.field = field
        self.is_touched = initial is not LEFT_OUT
        self._initial = initial
        self._note = Static("", classes="note", markup=False)
        self.editor = self._make_editor()
        self.error = ""

    def _make_editor(self) -> Widget:
        field, cell = self.field, cell_of(self._initial)
        if field.kind == "choice":
            chosen = cell if cell in field.choices else Select.NULL
            options = [(Text(clean_line(each)), each) for each in field.choices]
            prompt = "choose" if field.is_required else str(field.schema.get("default") or "left out")
            return Select(options, prompt=prompt, value=chosen, compact=True)
        if field.kind == "flag":
            is_set = self._initial if isinstance(self._initial, bool) else bool(field.schema.get("default"))
            return OnOff(is_on=is_set)
        if field.kind in {"text", "json"}:
            return TextArea(clean(cell), soft_wrap=True, tab_behavior="focus", compact=True, show_line_numbers=False)
        made = PlainInput(clean_line(cell), compact=True, select_on_focus=False)
        made.cursor_blink = False  # a blinking caret costs two frames a second
        return made

    def compose(self) -> ComposeResult:
        """Yield label, editor and unit in a row, the note below."""
        mark = " *" if _must_be_filled(self.field) else ""
        with Horizontal():
            yield Static(Content(clean_line(self.field.label) + mark), classes="label", markup=False)
            yield self.editor
            yield Static(Content(self.field.unit), classes="unit", markup=False)
        yield self._note

    def on_mount(self) -> None:
        """Show the hint."""
        self.show_note("")

    @property
    def cell(self) -> str:
        """The typed text."""
        editor = self.editor
        if isinstance(editor, TextArea):
            return clean(editor.text)
        if isinstance(editor, Input):
            return clean_line(editor.value).strip() if self.field.kind == "number" else clean_line(editor.value)
        return "" if not isinstance(editor, Select) or editor.value is Select.NULL else str(editor.value)

    def value(self) -> Any:  # noqa: ANN401 - any JSON value
        """The value for the record; ``LEFT_OUT`` for none."""
        if isinstance(self.editor, Checkbox):
            return self.editor.value if self.editor.value or self.field.is_required else LEFT_OUT
        if not self.cell and _must_be_filled(self.field):
            return LEFT_OUT  # an empty required field is missing, not an empty text
        return value_of(self.field, self.cell)

    def pointers(self, pointer: str) -> Iterator[tuple[str, FieldView]]:
        """This field and all fields in it, innermost first, each with the JSON Pointer of its value."""
        yield pointer, self

    def show_note(self, error: str) -> None:
        """Show an error; the hint when ``error`` is empty."""
        self.error = clean_line(error)
        self.set_class(bool(error), "-wrong")
        words = self.error or clean_line(self.field.hint)
        self._note.update(Content(words))
        self.set_class(not words, "-no-note")  # an empty note takes no line

    def on_descendant_focus(self) -> None:
        """Show the note while the field has the focus."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Hide the hint again."""
        self.remove_class("-focused")

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _notify_form(self, event: Message) -> None:
        event.stop()
        if self.cell or isinstance(self.editor, Checkbox):
            self.is_touched = True
        self.post_message(self.Changed())


class GroupView(FieldView):
    """A nested object."""

    DEFAULT_CSS = """
    GroupView > .parts { height: auto; padding: 0 0 0 2; border-left: solid $panel; }
    """

    def __init__(self, field: Field, initial: object = LEFT_OUT) -> None:
        known = initial if isinstance(initial, dict) else {}
        self._parts = [field_view(part, known.get(part.name, LEFT_OUT)) for part in field.parts]
        super().__init__(field, initial)

    def _make_editor(self) -> Widget:
        return Static("", markup=False)

    def compose(self) -> ComposeResult:
        """Yield the label, then the fields in it."""
        yield Static(Content(clean_line(self.field.label)), classes="label", markup=False)
        with Vertical(classes="parts"):
            yield from self._parts
        yield self._note

    def value(self) -> Any:  # noqa: ANN401
        """The object; ``LEFT_OUT`` when it is optional and empty."""
        made = record_of(self._parts)
        return made if made or self.field.is_required else LEFT_OUT

    def pointers(self, pointer: str) -> Iterator[tuple[str, FieldView]]:
        """The fields in it, then itself."""
        for view in self._parts:
            yield from view.pointers(f"{pointer}/{view.field.name}")
        yield pointer, self


class Element(Vertical):
    """One element of a list, with a button to remove it."""

    DEFAULT_CSS = """
    Element { height: auto; padding: 0 0 0 2; border-left: solid $panel; margin: 0 0 0 0; }
    Element > Button { min-width: 10; }
    """

    def __init__(self, field: Field, initial: object) -> None:
        super().__init__()
        known = {"": initial} if field.is_plain_list else initial if isinstance(initial, dict) else {}
        self.field = field
        self.views = [field_view(part, known.get(part.name, LEFT_OUT)) for part in field.parts]

    def compose(self) -> ComposeResult:
        """Yield the fields and the button."""
        yield from self.views
        yield Button("− remove", classes="remove", compact=True)

    def value(self) -> Any:  # noqa: ANN401
        """The element."""
        if self.field.is_plain_list:
            own = self.views[0].value()
            return None if own is LEFT_OUT else own
        return record_of(self.views)


class ListView(FieldView):
    """A list: its elements, and a button to add one."""

    DEFAULT_CSS = """
    ListView > .head { height: 1; }
    ListView > .elements { height: auto; }
    """

    def __init__(self, field: Field, initial: object = LEFT_OUT) -> None:
        self._first = [Element(field, each) for each in initial] if isinstance(initial, list) else []
        self._elements = Vertical(*self._first, classes="elements")
        super().__init__(field, initial)

    def _make_editor(self) -> Widget:
        return Button("+ add", classes="add", compact=True)

    def compose(self) -> ComposeResult:
        """Yield label and button in a row, the elements below."""
        mark = " *" if _must_be_filled(self.field) else ""
        with Horizontal(classes="head"):
            yield Static(Content(clean_line(self.field.label) + mark), classes="label", markup=False)
            yield self.editor
        yield self._elements
        yield self._note

    @property
    def elements(self) -> list[Element]:
        """The elements in order."""
        return [each for each in self._elements.children if isinstance(each, Element)]

    def value(self) -> Any:  # noqa: ANN401
        """The list; ``LEFT_OUT`` when it is optional and empty."""
        made = [each.value() for each in self.elements]
        return made if made or self.field.is_required else LEFT_OUT

    def pointers(self, pointer: str) -> Iterator[tuple[str, FieldView]]:
        """The fields in it, then itself."""
        for number, element in enumerate(self.elements):
            for view in element.views:
                ending = "" if self.field.is_plain_list else f"/{view.field.name}"
                yield from view.pointers(f"{pointer}/{number}{ending}")
        yield pointer, self

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """Add or remove an element."""
        event.stop()
        owner = event.button.parent
        if isinstance(owner, Element):
            await owner.remove()
            self.editor.focus()
        elif self.field.max_items is None or len(self.elements) < self.field.max_items:
            element = Element(self.field, {})
            await self._elements.mount(element)
            element.views[0].editor.focus()
        self.post_message(self.Changed())


def _must_be_filled(field: Field) -> bool:
    """Whether a field must not stay empty. It may where empty means null, false or an empty list."""
    if not field.name or not field.is_required or field.is_nullable:
        return False
    if field.kind == "list":
        return bool(field.schema.get("minItems", 0))
    return field.kind not in {"flag", "group"}


def field_view(field: Field, initial: object = LEFT_OUT) -> FieldView:
    """Create the widget for a field, with ``initial`` as its content."""
    if field.kind == "list":
        return ListView(field, initial)
    if field.kind == "group":
        return GroupView(field, initial)
    return FieldView(field, initial)


def record_of(views: list[FieldView]) -> dict[str, Any]:
    """The object made of the fields' values."""
    values = {view.field.name: view.value() for view in views}
    return {name: value for name, value in values.items() if value is not LEFT_OUT}
