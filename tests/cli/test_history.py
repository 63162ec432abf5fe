"""``edgechat history`` as people and scripts use it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edgechat.chat.history import History
from edgechat.errors import ExitCode
from tests.command import run, run_json

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths

pytestmark = pytest.mark.process

HOSTILE = "\x1b[31mred\x1b]52;c;aGk=\x07 \x9b2J \u202eevil 東京"


@pytest.fixture(autouse=True)
def kept(paths: Paths) -> None:
    """Two conversations: a hostile one with a partial answer, and one about a pump."""
    with History.open(paths) as history:
        number = history.start(system=HOSTILE).id
        history.add_question(number, HOSTILE)
        with history.start_answer(number, f"small{HOSTILE}", "Q4") as answer:
            answer.append(HOSTILE, is_thought=True)
            answer.append(HOSTILE)
        number = history.start().id
        history.add_question(number, "Why is the pump hot?")
        with history.start_answer(number, "small", "Q4") as answer:
            answer.append("Its valve is shut.")
            answer.finish("stop", usage={"prompt_tokens": 9})


@pytest.mark.process
def test_list_shows_the_newest_first() -> None:
    first, second = run("history", "list").stdout.splitlines()
    assert first.split()[0] == "2"
    assert first.endswith("2 messages  Why is the pump hot?")
    assert "[31mred" in second
    (only,) = run_json("history", "list", "-n", "1")
    assert (only["id"], only["title"], only["messages"], only["model"]) == (2, "Why is the pump hot?", 2, "small:Q4")


@pytest.mark.process
def test_show_prints_a_conversation() -> None:
    out = run("history", "show", "2").stdout
    assert "You\nWhy is the pump hot?\n\nAssistant\nIts valve is shut.\n" in out
    assert run("history", "show", "last").stdout == out
    assert "(interrupted)" in run("history", "show", "1").stdout
    shown = run_json("history", "show", "2")
    assert [(each["role"], each["content"], each["status"]) for each in shown["messages"]] == [
        ("user", "Why is the pump hot?", "complete"),
        ("assistant", "Its valve is shut.", "complete"),
    ]
    assert shown["messages"][1]["usage"] == {"prompt_tokens": 9}


@pytest.mark.process
def test_search_finds_and_lights() -> None:
    out = run("history", "search", "VALVE").stdout
    assert out.split()[0] == "2"
    assert out.rstrip().endswith("Its valve is shut.")
    hits = run_json("history", "search", "東京")
    assert {hit["conversation"] for hit in hits} == {1}
    assert all(hit["snippet"][slice(*hit["spans"][0])] == "東京" for hit in hits)
    nothing = run("history", "search", "nowhere")
    assert (nothing.stdout, nothing.stderr) == ("", "Nothing found.\n")
    assert run_json("history", "search", '"AND') == []


@pytest.mark.process
def test_on_a_terminal_only_our_own_bold_is_written() -> None:
    for arguments in (["search", "東京"], ["show", "1", "--thoughts"], ["list"], ["export", "1"],
                      ["export", "--format", "json"], ["show", "1", "--json"]):  # fmt: skip
        leader, follower = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "edgechat", "history", *arguments], stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        seen = b""
        while chunk := _read(leader):
            seen += chunk
        os.close(leader)
        assert child.wait(60) == 0
        bare = seen.decode()
        for ours in ("\x1b[0m", "\x1b[1m", "\x1b[2m"):
            bare = bare.replace(ours, "")
        assert "東京" in bare
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(bare), arguments


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""


@pytest.mark.process
def test_export_and_import_between_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "all.json"
    assert f"Wrote 2 conversation(s) to {out}" in run("history", "export", "--out", str(out)).stderr
    assert out.stat().st_mode & 0o777 == 0o600
    before = [run_json("history", "show", str(number))["messages"] for number in (1, 2)]
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path / "other"))
    assert "Imported 2 conversation(s): 1-2." in run("history", "import", str(out)).stderr
    assert [run_json("history", "show", str(number))["messages"] for number in (1, 2)] == before
    assert "2 conversation(s) exist already" in run("history", "import", "-", stdin=out.read_text()).stderr
    assert len(run_json("history", "list")) == 2
    markdown = run("history", "export", "2").stdout
    assert markdown.startswith("# Why is the pump hot?\n")
    assert json.loads(run("history", "export", "2", "--format", "json").stdout)["format"] == "edgechat-history"


@pytest.mark.process
def test_a_refused_import_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "fine"}]}\n{"messages": [{"role": "x"}]}\n')
    told = run("history", "import", str(file), code=ExitCode.INVALID_INPUT).stderr
    assert "bad.jsonl: [1].messages[0].role" in told
    file.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in run("history", "import", str(file), code=ExitCode.INVALID_INPUT).stderr
    assert "No such file" in run("history", "import", str(tmp_path / "no"), code=ExitCode.INVALID_INPUT).stderr
    assert len(run_json("history", "list")) == 2


@pytest.mark.process
def test_rm_can_be_undone_until_purged() -> None:
    assert "Undo: edgechat history rm --undo 1 2" in run("history", "rm", "1", "2").stderr
    assert run_json("history", "list") == []
    assert [each["id"] for each in run_json("history", "list", "--deleted")] == [2, 1]
    run("history", "rm", "--undo", "2")
    assert [each["id"] for each in run_json("history", "list")] == [2]
    assert "Removed 1 conversation(s) permanently" in run("history", "rm", "--purge").stderr
    run("history", "rm", "--undo", "1", code=ExitCode.USAGE)
    assert "Removed 1 conversation(s) permanently" in run("history", "rm", "--purge", "last").stderr
    assert run_json("history", "list") == []


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "9"], ExitCode.USAGE, "There is no conversation 9."),
        (["show", "pump"], ExitCode.USAGE, "'pump' is not the id"),
        (["show", "9" * 30], ExitCode.USAGE, "is not the id"),
        (["show", "-1"], ExitCode.USAGE, "No such option"),
        (["rm"], ExitCode.USAGE, "No conversation is named"),
        (["rm", "--undo", "--purge", "1"], ExitCode.USAGE, "choose one"),
        (["rm", "1", "9"], ExitCode.USAGE, "There is no conversation 9."),
        (["export", "1", "--out", "/proc/nowhere.md"], ExitCode.STATE, "Choose another place"),
        (["export", "1", "--out", "/dev/null"], ExitCode.USAGE, "is not a file"),
        (["search"], ExitCode.USAGE, "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], code: int, said: str) -> None:
    assert said in run("history", *arguments, code=code).stderr
    assert len(run_json("history", "list")) == 2
