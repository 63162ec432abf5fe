"""Logs that stay small, keep secrets unless told otherwise, and can be read and followed."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from edgechat.cli.logs import FollowedFile, last_lines
from edgechat.engine.client import client
from edgechat.engine.listener import answer_log
from edgechat.engine.listener.answer_log import AnswerLog
from edgechat.engine.protocol.events import Done, Text
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.state import log
from edgechat.errors import UsageError
from edgechat.paths import Paths
from edgechat.serve import server_log
from edgechat.serve.server_log import ServerLog

SECRET = "the password is plover"
ASKED = Request((Message("user", SECRET),))


@pytest.fixture
def paths(tmp_path):
    found = Paths.from_env({"EDGECHAT_HOME": str(tmp_path)})
    (found.state / "logs").mkdir(parents=True)
    return found


def noted(paths: Paths) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.answers_path(paths.state).read_text().splitlines()]


def test_answers_are_noted_without_their_text_unless_all_is_asked_for(paths):
    for mode in ("redacted", "full", "off"):
        answers = AnswerLog(paths.state, mode)
        answers.begin(1, 7, ASKED)
        answers.add(1, 7, Text("plover indeed", (1,)))
        answers.client_left(1)
    redacted, full = noted(paths)
    assert "plover" not in json.dumps(redacted)
    assert (redacted["messages"][0]["characters"], redacted["answer"]["characters"]) == (len(SECRET), 13)
    assert full["messages"] == [{"role": "user", "content": SECRET}]
    assert full["answer"]["content"] == "plover indeed"
    assert full["finish_reason"] == "client left"
    assert stat.S_IMODE(log.answers_path(paths.state).stat().st_mode) == 0o600


def test_the_log_of_answers_never_takes_more_than_twice_its_bound(paths, monkeypatch):
    monkeypatch.setattr(answer_log, "MAX_BYTES", 4000)
    answers = AnswerLog(paths.state, "full")
    for number in range(200):
        answers.begin(1, number, ASKED)
        answers.failed(1, number, "ContextOverflowError")
    logs = list((paths.state / "logs").iterdir())
    assert len(logs) == 2
    assert sum(each.stat().st_size for each in logs) <= 8000
    assert noted(paths)[-1]["error"] == "ContextOverflowError"


def test_a_log_that_cannot_be_written_costs_no_answer(paths, capsys):
    log.answers_path(paths.state).mkdir()
    answers = AnswerLog(paths.state, "full")
    for number in range(3):
        answers.begin(1, number, ASKED)
        answers.client_left(1)
    assert capsys.readouterr().err.count("Cannot write") == 1


def test_a_client_that_leaves_just_as_its_answer_ends_is_noted_once(paths):
    answers = AnswerLog(paths.state, "redacted")
    done = Done("stop", {}, {}, 1, is_context_full=False, peak_rss_bytes=1, load_s=0)
    faults: list[Exception] = []
    rounds, per_round = 60, 8
    meet = threading.Barrier(2)

    def leave() -> None:
        try:
            for client in range(rounds):
                for number in range(per_round):
                    answers.begin(client, number, ASKED)
                meet.wait(20)
                answers.client_left(client)
        except (KeyError, RuntimeError) as fault:  # a broken barrier is a RuntimeError
            faults.append(fault)
            meet.abort()

    leaving = threading.Thread(target=leave)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        leaving.start()
        for client in range(rounds):
            meet.wait(20)
            for number in reversed(range(per_round)):
                answers.add(client, number, Text("x", (1,)))
                answers.add(client, number, done)
        leaving.join(20)
    finally:
        sys.setswitchinterval(interval)
    assert faults == []
    assert len(noted(paths)) == rounds * per_round


def test_while_the_clock_is_unset_no_date_is_invented(paths, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1234.5)
    answers = AnswerLog(paths.state, "redacted")
    answers.begin(1, 1, ASKED)
    answers.client_left(1)
    assert noted(paths)[0]["at"] is None
    ServerLog(paths).write("Listening.")
    assert log.server_path(paths.state).read_text().startswith("+")


@pytest.mark.engine
def test_the_engine_notes_what_its_owner_asked_for(tmp_path):
    env = {**os.environ, "EDGECHAT_HOME": str(tmp_path), "EDGECHAT_LOG_ANSWERS": "redacted"}
    ask = [sys.executable, "-m", "edgechat", "ask", "-n", "3", SECRET]
    subprocess.run(ask, env=env, check=True, capture_output=True)
    paths = Paths.from_env(env)
    client.stop(paths)
    (entry,) = noted(paths)
    assert (entry["finish_reason"], entry["usage"]["completion_tokens"]) == ("length", 3)
    shown = subprocess.run(
        [sys.executable, "-m", "edgechat", "logs"], env=env, capture_output=True, text=True, check=True
    )
    assert "answers: {" in shown.stdout
    assert "engine: " in shown.stdout
    assert "plover" not in shown.stdout


def test_the_servers_log_is_rotated_and_a_flood_is_cut(paths, monkeypatch):
    monkeypatch.setattr(server_log, "MAX_BYTES", 2000)
    for _ in range(20):
        writer = ServerLog(paths)
        for number in range(100):
            writer.write(f"Trouble {number} " + "x" * 40)
    logs = sorted((paths.state / "logs").iterdir())
    assert [each.name for each in logs] == ["serve.log", "serve.log.1"]
    assert sum(each.stat().st_size for each in logs) < 6000
    assert "Further lines of this minute are left out." in log.server_path(paths.state).read_text()


def test_a_read_only_state_directory_is_said_and_survived(tmp_path):
    (tmp_path / "state").write_text("in the way")
    writer = ServerLog(Paths.from_env({"EDGECHAT_HOME": str(tmp_path)}))
    writer.write("Listening.")
    assert str(tmp_path / "state") in writer.error


def test_following_shows_each_line_once_through_rotation_and_cuts(tmp_path):
    file = tmp_path / "engine.log"
    file.write_text("one\ntwo\n")
    lines, end = last_lines(file, 1)
    assert lines == ["two"]
    followed = FollowedFile("engine", file, end)
    with file.open("a") as out:
        out.write("three\nfo")
        out.flush()
        assert list(followed.new_lines()) == ["three"]
        out.write("ur\n")
    assert list(followed.new_lines()) == ["four"]
    file.replace(tmp_path / "engine.log.1")
    assert list(followed.new_lines()) == []
    file.write_text("five\n")
    assert list(followed.new_lines()) == ["five"]
    assert last_lines(file, 3)[0] == ["three", "four", "five"]
    with file.open("r+") as out:
        out.truncate(2)
    assert list(followed.new_lines()) == []


def test_a_wrong_mode_is_refused_by_name(tmp_path):
    from edgechat import config

    with pytest.raises(UsageError, match="redacted"):
        config.load(tmp_path, {"EDGECHAT_LOG_ANSWERS": "everything"})
