"""Why an engine ended is named rightly, kept, and never mistaken for another engine's end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.state import exit_reason
from edgechat.errors import StateError

ASSERT = "llama.cpp: loading\n/x/ggml.c:1: GGML_ASSERT(n > 0) failed\nlast line"
MEMORY = "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 5\n"


def cause(status: int, log: str = "", kills: int = 0, declared: str | None = None) -> tuple[str, str]:
    note = exit_reason.classify("e", status=status, log_tail=log, oom_kills=kills, stage="decode", declared=declared)
    return note.cause, note.detail


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"status": -11}, ("signal", "SIGSEGV")),
        ({"status": -9}, ("signal", "SIGKILL")),
        ({"status": -9, "kills": 1}, ("oom", "the kernel ended it because memory ran out")),
        ({"status": -11, "kills": 1}, ("signal", "SIGSEGV")),
        ({"status": -6, "log": ASSERT}, ("assert", "/x/ggml.c:1: GGML_ASSERT(n > 0) failed")),
        ({"status": -6, "log": MEMORY + ASSERT}, ("oom", MEMORY.strip())),
        ({"status": -6, "log": "terminate called: std::bad_alloc"}, ("oom", "terminate called: std::bad_alloc")),
        ({"status": 1, "log": MEMORY}, ("oom", MEMORY.strip())),
        ({"status": 1}, ("exit", "exit status 1")),
        ({"status": 70, "declared": "template:took too long: 5 s"}, ("template", "took too long: 5 s")),
        (
            {"status": -9, "kills": 1, "declared": "template:slow"},
            ("oom", "the kernel ended it because memory ran out"),
        ),
        ({"status": -11, "declared": "template:slow"}, ("signal", "SIGSEGV")),
        ({"status": 1, "declared": "exit:KeyError: 'x'"}, ("exit", "KeyError: 'x'")),
        ({"status": 1, "declared": "exit:MemoryError: ", "log": "MemoryError\n"}, ("oom", "MemoryError")),
    ],
)
def test_a_death_has_one_cause(arguments, expected):
    assert cause(**arguments) == expected


@given(st.integers(-64, 255).filter(bool), st.text(max_size=200), st.integers(0, 3))
def test_every_way_to_end_has_a_name(status, log, kills):
    """Also real-time signals, most of which Python does not know."""
    name, detail = cause(status, log, kills)
    assert name in {"signal", "oom", "assert", "exit"}
    assert detail or log
    assert "\n" not in detail


def test_a_note_is_read_for_its_own_engine_only(tmp_path):
    note = exit_reason.classify("mine", status=-11, log_tail="", oom_kills=0, stage="load")
    exit_reason.write(tmp_path, note)
    assert exit_reason.read(tmp_path, "mine") == note
    assert exit_reason.read(tmp_path, "another") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "{}", '{"engine": "e"}', "\xff"])
def test_a_damaged_note_is_no_note(damage, tmp_path):
    (tmp_path / exit_reason.NOTE).write_bytes(damage.encode("latin-1"))
    assert exit_reason.read(tmp_path, "e") is None


def test_a_note_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / exit_reason.NOTE).mkdir()
    (tmp_path / exit_reason.NOTE / "in the way").touch()
    with pytest.raises(StateError, match=exit_reason.NOTE):
        exit_reason.write(tmp_path, exit_reason.classify("e", status=-9, log_tail="", oom_kills=0, stage="idle"))


def test_the_note_is_plain_json_for_other_tools(tmp_path):
    exit_reason.write(tmp_path, exit_reason.classify("e", status=-9, log_tail="", oom_kills=0, stage="idle"))
    assert json.loads((tmp_path / exit_reason.NOTE).read_text())["cause"] == "signal"


def test_the_first_complaint_names_the_cause():
    log = "print_info: fine\nllama_model_load: error: unknown architecture 'x'\ncommon: failed to load model\n"
    assert exit_reason.last_error_line(log) == "llama_model_load: error: unknown architecture 'x'"
    assert exit_reason.last_error_line("all fine") == ""


def test_the_last_fifty_deaths_are_remembered_and_a_damaged_line_costs_that_line(tmp_path):
    assert exit_reason.history(tmp_path) == []
    for number in range(exit_reason.KEPT + 5):
        exit_reason.write(tmp_path, exit_reason.ExitReason(f"e{number}", "signal", "SIGSEGV", "decode", float(number)))
    kept = exit_reason.history(tmp_path)
    assert [each.engine for each in kept] == [f"e{number}" for number in range(5, exit_reason.KEPT + 5)]
    file = tmp_path / exit_reason.HISTORY
    file.write_text(file.read_text() + '{"engine": "e9\n')
    assert exit_reason.history(tmp_path) == kept


WATCHED = """
import os, sys
from pathlib import Path
from edgechat.engine.process import supervisor
from edgechat.engine.state.shared_status import SharedStatus
from edgechat.paths import Paths
child = os.fork()
if not child:
    os._exit(9)
paths = Paths.from_env({"EDGECHAT_HOME": sys.argv[1]})
supervisor.watch(child, "e", paths, SharedStatus(), log_start=0, kills_before=0)
"""


@pytest.mark.process
def test_a_supervisor_that_cannot_write_the_exit_reason_says_so_in_one_line(tmp_path):
    (tmp_path / "state" / exit_reason.NOTE / "in the way").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert done.stderr.startswith(f"Cannot write {tmp_path / 'state' / exit_reason.NOTE}: ")


def test_notes_of_the_version_before_are_read_and_their_keys_are_still_written(tmp_path):
    old = {"engine": "e", "cause": "oom", "detail": "x", "stage": "load", "at": 1.0, "stepped_below": 5, "warden": 77}
    (tmp_path / exit_reason.NOTE).write_text(json.dumps(old))
    note = exit_reason.read(tmp_path, "", 77)
    assert note is not None
    assert note.supervisor == 77
    exit_reason.write(tmp_path, note)
    assert json.loads((tmp_path / exit_reason.NOTE).read_text()) == old
