"""How each screen looks, narrow and wide, dark and light: with fixed data, cell for cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.models.store import installed
from edgechat.paths import Paths
from edgechat.tasks.registry import InstalledTask
from edgechat.tui import preferences
from edgechat.tui.app import make_app
from edgechat.tui.preferences import Preferences
from edgechat.tui.screens import board, first_run, tasks
from edgechat.tui.screens.task import TaskScreen
from edgechat.tui.session import model_manager, next_answer
from edgechat.tui.session.board_readings import BoardReading
from edgechat.tui.session.messages import NextAnswer
from tests.tui.kit import LARGE, SMALL, drive, screen_text, until
from tests.tui.sample_models import BOARD, MODELS
from tests.tui.snapshot import check, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app

ANSWER = """Two ways:

1. **Measure** the ripple with `scope`.
2. Replace `C14`, then run

```python
print(read_voltage("5V"))
```

日本語も正しく並びます。"""
READING = BoardReading(
    BOARD, 37.0, 2400.0, 61.5, ("under-voltage",),
    {"model": "qwen2.5-1.5b-instruct", "quant": "Q4_K_M", "n_ctx": 8192, "rss_bytes": 1_420_000_000, "clients": 1},
    4.9,
)  # fmt: skip
TASKS = [
    InstalledTask("driving", "Driving-scene risk from speed, gap and lane position.", "edgechat", "1", "x:Y"),
    InstalledTask("rootcause", "Root causes of a defect, as hypotheses with evidence.", "edgechat", "1", "x:Y"),
]


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    """No clock, no memory figure, no sensor, no model and no setting of this machine."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(installed, "installed", lambda _paths: [MODELS.entries[1]])
    monkeypatch.setattr(next_answer, "next_answer", lambda *_: NextAnswer(MODELS.entries[1].label.lower(), "pinned"))
    monkeypatch.setattr(model_manager, "list_models", lambda _paths, _config: MODELS)
    monkeypatch.setattr(first_run, "find_mounted", list)
    monkeypatch.setattr(first_run, "other_tools_files", lambda _env: [])
    monkeypatch.setattr(board, "read_board", lambda _paths: READING)
    monkeypatch.setattr(board, "_READ_EVERY_S", 3600.0)
    monkeypatch.setattr(board, "resident_plan", lambda *_: MODELS.entries[1].plan)
    monkeypatch.setattr(tasks, "installed_tasks", lambda: TASKS)
    with History.open(paths) as history:
        talk = history.start(title="Ripple on the 5 V rail")
        history.add_question(talk.id, "The 5 V rail shows ripple. What now?")
        with history.start_answer(talk.id, "qwen2.5-1.5b-instruct", "Q4_K_M") as answer:
            answer.append("The capacitor near the regulator comes first.", is_thought=True)
            answer.append(ANSWER)
            usage = {"prompt_tokens": 40, "completion_tokens": 60}
            answer.finish("stop", usage=usage, timing={"decode_tps": 11.4, "ttft_s": 0.8})


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_every_screen_looks_as_it_did(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], theme: str
) -> None:
    preferences.write(paths, Preferences(theme=f"edgechat-{theme}"))
    app = make_app(paths)
    app.animation_level = "none"
    monkeypatch.setattr(app, "_paths", Paths.from_env({"EDGECHAT_HOME": "/home/me"}))
    seen: dict[str, str] = {}

    async def story(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "(pinned)" in screen_text(app))
        seen["welcome"] = await settled(pilot, lambda: "Everything you write" in screen_text(app))
        await app.chat.open(1)
        seen["chat"] = await settled(pilot, lambda: "first after 0.8 s" in screen_text(app))
        await pilot.press("f2")
        seen["conversations"] = await settled(pilot, lambda: "1 conversation" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.chat.message_list.views[-1].region.width == size[0])
        await pilot.press("f1")
        seen["help"] = await settled(pilot, lambda: "Writing" in screen_text(app))
        await pilot.press("f1")
        for key, name, word in (
            ("f3", "models", "measured here"),
            ("f4", "board", "under-voltage"),
            ("f5", "tasks", "driving"),
        ):
            await until(pilot, lambda: app.screen is app.chat)
            await pilot.press(key)
            seen[name] = await settled(pilot, lambda word=word: word in screen_text(app))  # type: ignore[misc]
            if name != "tasks":
                await pilot.press("escape")
        await form(app, pilot)
        seen["task"] = await settled(pilot, lambda: "km/h" in screen_text(app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is app.chat)
        app.action_welcome()
        seen["first-run"] = await settled(pilot, lambda: "models fit" in screen_text(app))

    drive(app, story, size)
    for name, shown in seen.items():
        check(f"{name}-{size[0]}x{size[1]}-{theme}", shown)


async def form(app: EdgechatApp, pilot: Pilot[None]) -> None:
    """The form of a task, with one field that is wrong."""
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, TaskScreen) and app.screen.form.views[0].has_focus_within)
    await pilot.press("9", "9", "9")
    await until(pilot, lambda: "400" in screen_text(app))
