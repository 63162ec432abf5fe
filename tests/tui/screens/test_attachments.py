"""Attachments: folded on screen, whole for the model, images, and the dialog with completion and a tree."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.tui.dialogs.attach_file import AttachFile
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import ask, drive, screen_text, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


def png(side: int = 2) -> bytes:
    """A black PNG image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\0" * 3 * side for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def opened(app: EdgechatApp, pilot: Pilot[None]) -> AttachFile:
    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(app.screen, AttachFile) and app.screen.path.has_focus)
    assert isinstance(app.screen, AttachFile)
    return app.screen


def test_a_file_is_one_line_on_screen_and_whole_for_the_model(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("torque 12 Nm\n" * 1000)

    async def story(pilot: Pilot[None]) -> None:
        dialog = await opened(app, pilot)
        dialog.path.value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: "report.txt, 13 KB" in screen_text(app))
        await ask(pilot, "What is wrong?")
        shown = screen_text(app)
        assert "report.txt, 13 KB" in shown
        assert "torque" not in shown
        await pilot.press("ctrl+g")
        assert app.chat.composer.text == "What is wrong?"
        assert [each.name for each in app.chat.composer.attachments] == ["report.txt"]

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        content = engine.requests[0]["messages"][0]["content"]
    # Before the question, so that it can be read while the question is typed.
    assert content == f"report.txt:\n{file.read_text()}\n\nWhat is wrong?"
    with History.open(paths) as history:
        assert history.messages(1)[0].content == "What is wrong?"
        assert len(history.search("torque")) == 1


def test_an_image_goes_to_the_model_as_with_ask(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "weld.png"
    file.write_bytes(png())

    async def story(pilot: Pilot[None]) -> None:
        dialog = await opened(app, pilot)
        dialog.path.value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: "weld.png" in screen_text(app))
        await ask(pilot, "A crack?")
        await app.chat.open(None)
        await app.chat.open(1)
        await until(pilot, lambda: "weld.png" in screen_text(app))
        await ask(pilot, "And here?")

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        for request in engine.requests:
            assert [base64.b64decode(image) for image in request["messages"][0]["images"]] == [png()]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("none.txt", None, "No such file"),
        ("latin.txt", b"caf\xe9", "neither UTF-8 text nor a PNG or JPEG"),
        ("large.txt", b"x" * ((1 << 20) + 1), "more than 1 MiB"),
        ("cut.png", png()[:20], "damaged"),
    ],
)
def test_a_file_that_cannot_be_attached_is_named_and_asked_for_again(
    app: EdgechatApp, tmp_path: Path, name: str, data: bytes | None, said: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)

    async def story(pilot: Pilot[None]) -> None:
        dialog = await opened(app, pilot)
        dialog.path.value = str(tmp_path / name)
        await pilot.press("enter")
        await until(pilot, lambda: said in " ".join(screen_text(app).split()).replace("│ │ ", ""))
        assert app.screen is dialog
        await pilot.press("escape")
        await until(pilot, lambda: app.chat.composer.has_focus)
        assert app.chat.composer.attachments == ()

    drive(app, story, (140, 40))


def test_a_path_is_completed_and_a_tree_offers_files(
    app: EdgechatApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"  # the history's home lies in tmp_path as well
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "motor.txt").write_text("hot")
    (folder / ".hidden").write_text("no")
    monkeypatch.chdir(folder)

    async def story(pilot: Pilot[None]) -> None:
        dialog = await opened(app, pilot)
        await until(pilot, lambda: "logs" in screen_text(app))
        assert ".hidden" not in screen_text(app)
        await pilot.press(*"lo")
        await until(pilot, lambda: dialog.path._suggestion == "logs/")
        await pilot.press("tab")
        assert dialog.path.value == "logs/"
        await until(pilot, lambda: dialog.path._suggestion == "logs/motor.txt")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: app.chat.composer.attachments)
        assert app.chat.composer.attachments[0].text == "hot"
        dialog = await opened(app, pilot)
        await until(pilot, lambda: "logs" in screen_text(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "motor.txt" in screen_text(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(app.chat.composer.attachments) == 2)

    drive(app, story)
