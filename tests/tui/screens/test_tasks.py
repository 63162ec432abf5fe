"""The tasks screens as a person uses them: the real tasks, forms from their schemas, and a scripted engine beside."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Button, Collapsible, Input, Select, TextArea

from edgechat.tasks.registry import load
from edgechat.tasks.result import TaskResult
from edgechat.tui.dialogs.questions import AskLine, Confirm
from edgechat.tui.screens.task import TaskScreen
from edgechat.tui.screens.task_file import TaskFileScreen
from edgechat.tui.screens.task_result import TaskResultScreen
from edgechat.tui.screens.tasks import TasksScreen
from tests.engine import scripted_engine as scripted
from tests.tui.kit import LARGE, drive, screen_text, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp
    from edgechat.tui.widgets.field_view import FieldView

pytestmark = pytest.mark.app

EXAMPLE = {
    "speed_kmh": 100.0,
    "distance_to_car_m": 45.0,
    "lane_center_offset_m": 0.2,
    "weather": "rain",
    "time_of_day": "day",
}


@pytest.fixture(autouse=True)
def answers_as_the_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted engine says that the starter answers: tasks look up which file it was."""
    started = dataclasses.replace(scripted.STARTED, model="smollm2-135m-instruct", quant="Q4_1")
    monkeypatch.setattr(scripted, "STARTED", started)


async def open_task(app: EdgechatApp, pilot: Pilot[None], name: str) -> TaskScreen:
    await pilot.press("f5")
    await until(pilot, lambda: isinstance(app.screen, TasksScreen))
    listed = app.screen
    assert isinstance(listed, TasksScreen)
    listed.list.highlighted = next(at for at, task in enumerate(listed.tasks) if task.name == name)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, TaskScreen) and app.screen.form.views[0].has_focus_within)
    screen = app.screen
    assert isinstance(screen, TaskScreen)
    return screen


def field(screen: TaskScreen, name: str) -> FieldView:
    return next(view for view in screen.form.views if view.field.name == name)


async def write(pilot: Pilot[None], view: FieldView, text: str) -> None:
    view.editor.focus()
    await pilot.pause()
    if isinstance(view.editor, Input):
        view.editor.value = ""
    for letter in text:
        await pilot.press("full_stop" if letter == "." else "minus" if letter == "-" else letter)
    await pilot.pause()


def test_the_list_says_what_each_task_is_for(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))
        await pilot.pause()
        shown = screen_text(app)
        assert all(name in shown for name in ("driving", "rootcause", "translate"))
        await pilot.press("f5")
        await until(pilot, lambda: app.screen is app.chat)

    drive(app, story)


def test_errors_stand_under_their_field_as_one_types(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "driving")
        assert "km/h" in screen_text(app)
        speed = field(screen, "speed_kmh")
        assert speed.error == ""
        assert field(screen, "weather").error == ""
        await write(pilot, speed, "401")
        await until(pilot, lambda: "400" in speed.error)
        assert speed.error in screen_text(app).replace("\n", " ") or "less than or equal to 400" in screen_text(app)
        await write(pilot, speed, "fast")
        await until(pilot, lambda: "number" in speed.error)
        await write(pilot, speed, "40")
        await until(pilot, lambda: speed.error == "")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "missing" in field(screen, "weather").error)
        assert field(screen, "lane_center_offset_m").has_focus_within
        assert isinstance(app.screen, TaskScreen)

    drive(app, story)


def test_what_belongs_to_several_fields_is_said_below_them(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "driving")
        await pilot.press("f6")
        await until(pilot, lambda: field(screen, "speed_kmh").value() == 100)
        await write(pilot, field(screen, "lane_center_offset_m"), "9")
        await until(pilot, lambda: "Give metres, not centimetres" in screen_text(app).replace("\n", " "))

    drive(app, story, LARGE)


def test_the_example_runs_and_its_result_is_a_table_json_and_files(
    app: EdgechatApp, paths: Paths, tmp_path: Path
) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "driving")
        await pilot.press("f6")
        await until(pilot, lambda: field(screen, "weather").value() == "rain")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, TaskResultScreen))
        result = app.screen
        assert isinstance(result, TaskResultScreen)
        await until(pilot, lambda: result.grid.row_count > 10)
        assert "driving: ok" in screen_text(app)
        assert "level" in screen_text(app)
        await pilot.press("j")
        await until(pilot, lambda: '"status": "ok"' in screen_text(app))
        await pilot.press("j")
        await until(pilot, lambda: "FIELD" in screen_text(app))
        await pilot.press("c")
        assert json.loads(app.clipboard)["task"] == "driving"
        for name in ("r.json", "r.csv", "r.txt"):
            await pilot.press("s")
            await until(pilot, lambda: isinstance(app.screen, AskLine))
            app.screen.query_one(Input).value = str(tmp_path / name)
            await pilot.press("enter")
            await until(pilot, lambda name=name: name in result.banner.text)  # type: ignore[misc]
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        app.screen.query_one(Input).value = str(tmp_path / "r.json")
        await pilot.press("enter")
        await until(pilot, lambda: "already" in result.banner.text)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert field(screen, "weather").value() == "rain"

    with scripted.scripted_engine(paths.state, ["{}"]):
        drive(app, story)
    assert json.loads((tmp_path / "r.json").read_text())["result"]["level"]
    assert (tmp_path / "r.csv").read_text().startswith("id,task,")
    assert (tmp_path / "r.txt").read_text().strip()


LONG = "Defect solder bridge at U7 pins 3-4 on product PCB-2210, severity high, seen on both boards of the panel."


def done_with(**result: object) -> TaskResult:
    return TaskResult(id=1, task="driving", task_version="2", status="ok", result=dict(result))


def test_a_long_value_of_a_result_wraps_and_one_that_fills_the_screen_says_where_its_rest_is(app: EdgechatApp) -> None:
    whole = " ".join(f"word{number}" for number in range(400))

    async def story(pilot: Pilot[None]) -> None:
        await app.push_screen(TaskResultScreen(load("driving"), done_with(fact=LONG, text=whole, last="end")))
        result = app.screen
        assert isinstance(result, TaskResultScreen)
        await until(pilot, lambda: result.grid.row_count == 3)
        await until(pilot, lambda: "panel." in screen_text(app))
        shown = " ".join(screen_text(app).split())
        assert LONG in shown
        assert "word0" in shown
        assert "word399" not in shown
        assert "j shows the rest" in shown
        assert "end" in shown
        await pilot.press("j", "end")
        await until(pilot, lambda: "word399" in screen_text(app))

    drive(app, story)


@pytest.mark.parametrize(("name", "starred"), [("driving", 4), ("rootcause", 5), ("translate", 2)])
def test_an_empty_form_has_as_many_stars_as_it_says_are_to_fill_in(app: EdgechatApp, name: str, starred: int) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await open_task(app, pilot, name)
        await until(pilot, lambda: "to fill in or mend" in screen_text(app))
        shown = screen_text(app)
        assert f"* must be filled in · {starred} to fill in or mend" in shown
        assert sum(" * " in line for line in shown.splitlines() if "must be" not in line) == starred

    drive(app, story)


def test_two_things_wrong_with_one_field_are_one_field_to_mend(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "rootcause")
        await pilot.press("f6")
        await until(pilot, lambda: screen.form.views[0].value() == "PCB-2210")
        await until(pilot, lambda: "Ctrl+R runs it" in screen_text(app))
        severity = field(screen, "severity")
        assert isinstance(severity.editor, Input)
        severity.editor.value = "11" * 150
        await until(pilot, lambda: "1 to fill in or mend" in screen_text(app))
        assert len(screen.form.errors) > 1

    drive(app, story, LARGE)


def test_a_check_box_says_whether_it_is_on(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "translate")
        screen.query_one(Collapsible).collapsed = False
        strict = field(screen, "strict")
        strict.editor.focus()
        await until(pilot, lambda: "[ ] off" in screen_text(app))
        await pilot.press("space")
        await until(pilot, lambda: "[x] on" in screen_text(app))
        assert strict.value() is True
        await pilot.press("enter")
        await until(pilot, lambda: "[ ] off" in screen_text(app))
        assert "strict" not in screen.form.record()

    drive(app, story)


def test_lists_grow_and_shrink_by_keyboard(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "rootcause")
        notes = field(screen, "process_notes")
        assert notes.value() == []
        notes.editor.focus()
        await pilot.press("enter")
        await until(pilot, lambda: len(notes.value()) == 1)
        await pilot.press("N", "1", "tab", "h", "o", "t")
        await until(pilot, lambda: notes.value() == [{"id": "N1", "text": "hot"}])
        notes.editor.focus()
        await pilot.press("enter")
        await pilot.press("N", "1", "tab", "x")
        await until(
            pilot, lambda: any("twice" in wrong.message for wrong in screen.form.errors) or len(notes.value()) > 1
        )
        notes.query(Button).last().focus()
        await pilot.press("enter")
        await until(pilot, lambda: notes.value() == [{"id": "N1", "text": "hot"}])
        await write(pilot, field(screen, "confidence"), "2")
        await until(pilot, lambda: "1" in field(screen, "confidence").error)

    drive(app, story)


def test_a_bad_element_of_a_list_is_told_at_its_own_field(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "rootcause")
        await pilot.press("f6")
        await until(pilot, lambda: len(field(screen, "log_lines").value()) == 2)
        places = dict(field(screen, "log_lines").pointers("/log_lines"))
        second = places["/log_lines/1/id"]
        await write(pilot, second, "not an id".replace(" ", "-") + "?")
        await until(pilot, lambda: second.error)
        assert places["/log_lines/0/id"].error == ""
        assert len(screen.form.errors) == 1

    drive(app, story)


def test_optional_fields_are_folded_and_left_out_when_empty(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "driving")
        assert screen.query_one(Collapsible).collapsed
        await pilot.press("f6")
        await until(pilot, lambda: field(screen, "speed_kmh").value() == 100)
        assert screen.form.record() == {**EXAMPLE, "language": "en"}
        field(screen, "threshold").editor.focus()
        await write(pilot, field(screen, "threshold"), "0.5")
        assert screen.form.record()["threshold"] == 0.5
        await pilot.press("f8")
        await until(pilot, lambda: set(screen.form.record()) == {"distance_to_car_m"})

    drive(app, story)


def test_a_choice_is_made_by_keyboard(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "driving")
        weather = field(screen, "weather")
        assert isinstance(weather.editor, Select)
        weather.editor.focus()
        await pilot.press("enter")
        await until(pilot, lambda: weather.editor.expanded)  # type: ignore[attr-defined]
        await pilot.press("f", "o", "g", "enter")
        await until(pilot, lambda: weather.value() == "fog")

    drive(app, story)


def test_a_long_text_has_several_lines_and_pasted_escapes_do_nothing(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "translate")
        text = field(screen, "text")
        assert isinstance(text.editor, TextArea)
        text.editor.text = "Stop\x1b[31m the\x9b conveyor."
        await until(pilot, lambda: "conveyor" in text.value())
        assert text.value() == "Stop[31m the conveyor." or "\x1b" not in text.value()
        await write(pilot, field(screen, "target"), "xx")
        await until(pilot, lambda: "no language" in field(screen, "target").error)

    drive(app, story)


@pytest.fixture
def asks_any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let driving ask the small test model too."""
    monkeypatch.setattr("edgechat.tasks.measured.LARGE_FROM", 0)


@pytest.mark.usefixtures("asks_any_model")
def test_the_result_of_the_rules_is_shown_at_once_and_esc_keeps_it(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_task(app, pilot, "driving")
        await pilot.press("f6")
        await until(pilot, lambda: field(screen, "weather").value() == "rain")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, TaskResultScreen) and "writing" in screen_text(app))
        shown = app.screen
        assert isinstance(shown, TaskResultScreen)
        assert shown.done.result is not None
        assert "risk" in screen_text(app)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "A task is running" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: app.screen is shown)
        await pilot.press("escape")
        await until(pilot, lambda: "Stopped: this is the result of the rules" in shown.banner.text)
        assert app.screen is shown
        assert "risk" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))

    with scripted.scripted_engine(paths.state, ["x"] * 2000, pause_s=0.02):
        drive(app, story)


async def open_file(app: EdgechatApp, pilot: Pilot[None], source: Path) -> TaskFileScreen:
    await open_task(app, pilot, "driving")
    await pilot.press("f7")
    await until(pilot, lambda: isinstance(app.screen, TaskFileScreen) and app.screen.source.has_focus)
    screen = app.screen
    assert isinstance(screen, TaskFileScreen)
    screen.source.value = str(source)
    await until(pilot, lambda: screen.out.value)
    return screen


def records(path: Path, count: int) -> Path:
    lines = [json.dumps({**EXAMPLE, "speed_kmh": 50.0 + number / 10}) for number in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_run_with_a_bar_and_written_in_order(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    source = records(tmp_path / "moments.jsonl", 12)
    source.write_text(source.read_text() + "no json\n")

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_file(app, pilot, source)
        assert screen.out.value == str(tmp_path / "moments.results.jsonl")
        await pilot.press("enter", "enter", "enter")
        await until(pilot, lambda: "Done" in screen.banner.text)
        assert "1 invalid_input" in screen.banner.text
        assert "13 of 13" in screen_text(app)
        assert "1 not ok" in screen_text(app)
        assert "Esc stops" not in screen_text(app)
        assert screen.results.row_count == 13
        assert "invalid_input" in screen_text(app)

    with scripted.scripted_engine(paths.state, ["{}"]):
        drive(app, story)
    written = [json.loads(line) for line in (tmp_path / "moments.results.jsonl").read_text().splitlines()]
    assert [each["id"] for each in written] == list(range(1, 14))


@pytest.mark.usefixtures("asks_any_model")
def test_a_stopped_file_goes_on_where_it_was(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    source = records(tmp_path / "moments.jsonl", 60)
    journal = tmp_path / "moments.results.jsonl.journal"

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_file(app, pilot, source)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: screen.running is not None and " of 60" in screen_text(app))
        await until(pilot, lambda: "▰" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "Stopped" in screen.banner.text)
        assert journal.exists()
        assert not (tmp_path / "moments.results.jsonl").exists()
        engine._pause_s = 0.0
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "Resuming" in screen.banner.text or "Done" in screen.banner.text)
        await until(pilot, lambda: "Done: 60 ok" in screen.banner.text)

    with scripted.scripted_engine(paths.state, ["{", "}"], pause_s=0.1) as engine:
        drive(app, story)
    assert not journal.exists()
    assert len((tmp_path / "moments.results.jsonl").read_text().splitlines()) == 60


@pytest.mark.parametrize(
    ("out", "said"), [("/", "not a file"), (".", "not a file"), ("~nobody-here/x", "no such user")]
)
def test_a_place_where_nothing_can_be_written_is_told(app: EdgechatApp, tmp_path: Path, out: str, said: str) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_file(app, pilot, records(tmp_path / "m.jsonl", 1))
        screen.out.value = out
        await pilot.pause()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: said in screen.banner.text)
        assert screen.running is None

    drive(app, story)


def test_a_file_that_is_not_there_is_named(app: EdgechatApp, tmp_path: Path) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_file(app, pilot, tmp_path / "none.csv")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "There is no file" in screen.banner.text)
        screen.fields.value = "x"
        screen.source.value = str(records(tmp_path / "m.jsonl", 1))
        await pilot.pause()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "NAME=VALUE" in screen.banner.text)

    drive(app, story)
