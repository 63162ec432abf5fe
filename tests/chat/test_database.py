"""The file: private, never overwritten, copied before it changes its format, readable where nothing can be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.chat import schema
from edgechat.chat.history import History, history_file
from edgechat.errors import ExitCode, StateError
from edgechat.paths import Paths
from edgechat.storage import database as storage
from edgechat.storage.database import Database, UnusableDiskError
from tests.command import run, run_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def file(paths: Paths) -> Path:
    return history_file(paths)


def fill(paths: Paths, count: int = 20, text: str = "the blue valve ") -> int:
    with History.open(paths) as history:
        number = history.start().id
        for i in range(count):
            history.add_question(number, f"{i} {text * 20}")
    return number


def test_only_its_owner_may_read_it(paths: Paths, file: Path, history: History) -> None:
    history.start()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.glob("history.db*")}
    assert modes == dict.fromkeys(("history.db", "history.db-wal", "history.db-shm"), 0o600)
    history.close()
    file.chmod(0o644)
    with History.open(paths):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_durable_at_every_commit(history: History) -> None:
    settings = {name: history._database.row(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous")}
    assert settings == {"journal_mode": "wal", "synchronous": 2}
    assert history._database.row("PRAGMA foreign_keys")[0] == 1


def test_reading_makes_no_file(paths: Paths, file: Path) -> None:
    with History.open_to_read(paths) as history:
        assert history.conversations() == []
    assert not file.parent.exists()


@pytest.mark.process
@pytest.mark.parametrize("how", ["newer", "foreign", "foreign with version"])
def test_files_of_others_are_refused_and_left_alone(paths: Paths, file: Path, how: str) -> None:
    fill(paths)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        if how == "newer":
            connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 4}")
        else:
            connection.execute("PRAGMA application_id = 77")
        connection.commit()
    before = file.read_bytes()
    newest = len(schema.MIGRATIONS)
    words = (
        f"newer edgechat.*format {newest + 4}; this one knows up to {newest}"
        if how == "newer"
        else "another program made it"
    )
    for opening in (History.open, History.open_to_read, History.open_copy):
        with pytest.raises(StateError, match=words):
            opening(paths)
    assert file.read_bytes() == before
    assert run("history", "list", code=ExitCode.STATE).stdout == ""


@pytest.mark.process
@pytest.mark.parametrize("damage", ["header", "all zero", "text", "cut", "page", "emptied beside its log"])
def test_a_damaged_file_is_reported_and_never_overwritten(paths: Paths, file: Path, damage: str) -> None:
    fill(paths, 200)
    content = bytearray(file.read_bytes())
    if damage == "header":
        content[:16] = b"not a database!!"
    elif damage == "all zero":
        content[:] = bytes(len(content))
    elif damage == "text":
        content[:] = b"hello\n" * 1000
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "page":
        content[4096:] = os.urandom(len(content) - 4096)
    else:
        content.clear()
        file.with_name("history.db-wal").write_bytes(b"x" * 5000)
    file.write_bytes(content)
    for attempt in (
        lambda: History.open(paths).check_integrity(),
        lambda: History.open_to_read(paths).transcript(1),
        lambda: History.open(paths).add_question(1, "x" * 5000),
    ):
        with pytest.raises(StateError, match=r"history\.db.*(damaged|empty|another program).*(mv|Move it)") as caught:
            attempt()
        assert caught.value.exit_code == ExitCode.STATE
    assert file.read_bytes() == content
    told = run("ask", "-c", "hello", code=ExitCode.STATE)
    assert "history.db" in told.stderr
    assert file.read_bytes() == content


def test_an_older_file_is_copied_before_it_is_migrated(paths: Paths, file: Path) -> None:
    number = fill(paths)
    newer = (
        *schema.MIGRATIONS,
        ("ALTER TABLE conversation ADD COLUMN colour TEXT", "UPDATE conversation SET colour = 'red'"),
    )
    with closing(Database.open(file, replace(schema.HISTORY, migrations=newer))) as database:
        assert database.row("SELECT colour FROM conversation")[0] == "red"
        assert database.row("PRAGMA user_version")[0] == len(newer)
    copy = file.with_name(f"history.db.v{len(schema.MIGRATIONS)}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(StateError, match="newer edgechat"):
        History.open(paths)
    for each in file.parent.glob("history.db-*"):
        each.unlink()
    copy.replace(file)
    with History.open(paths) as history:
        assert len(history.messages(number)) == 20
        assert history.check_integrity() == []


OLD_ROWS = """
INSERT INTO conversation (id, uid, title, system, model, origin, created_at, touched) VALUES
    (1, 'u1', 'Ripple', 'Brief.', 'small:Q4', 'chat', '2026-01-02T03:04:05Z', 9),
    (2, 'u2', 'Other', '', NULL, 'ask', NULL, 4);
INSERT INTO message
    (id, conversation, role, content, thought, status, finish_reason, model, quant, usage, retracted) VALUES
    (1, 1, 'user', 'Why?', '', 'complete', NULL, NULL, NULL, '{}', 0),
    (2, 1, 'assistant', 'taken back', '', 'complete', 'stop', 'small', 'Q4', '{}', 1),
    (3, 2, 'user', 'Elsewhere', '', 'complete', NULL, NULL, NULL, '{}', 0),
    (4, 1, 'assistant', 'Because.', 'hm', 'complete', 'stop', 'small', 'Q4', '{"prompt_tokens": 3}', 0),
    (5, 1, 'user', 'And then?', '', 'complete', NULL, NULL, NULL, '{}', 0),
    (6, 1, 'assistant', 'Noth', '', 'partial', 'cancelled', 'small', 'Q4', '{}', 0);
INSERT INTO horizon (conversation, message, n_ctx, summary) VALUES (1, 5, 512, 'so far');
"""
"""Rows as edgechat wrote them before answers had versions: a regenerated answer is marked as retracted."""


def test_conversations_from_before_versions_get_them(paths: Paths, file: Path) -> None:
    with closing(Database.open(file, replace(schema.HISTORY, migrations=schema.MIGRATIONS[:2]))) as old:
        old._connection.executescript(OLD_ROWS)
    with History.open(paths) as history:
        assert [(each.title, each.messages, each.sampling) for each in history.conversations()] == [
            ("Ripple", 4, {}),
            ("Other", 1, {}),
        ]
        before = history.transcript(1)
        assert [each.content for each in before.messages] == ["Why?", "Because.", "And then?", "Noth"]
        assert (before.messages[1].thought, before.messages[1].usage) == ("hm", {"prompt_tokens": 3})
        assert before.versions == ()
        assert history.context_start(1) is not None
        answer = before.messages[1]
        history.set_aside(answer.id)
        with history.start_answer(1) as another:
            another.append("Another.")
            another.finish("stop")
        assert [each.content for each in history.messages(1)] == ["Why?", "Another."]
        assert [history.message(each).content for each in history.versions(answer.id)] == ["Because.", "Another."]
        history.choose(answer.id)
        assert history.transcript(1).messages == before.messages
        assert [each.content for each in history.messages(2)] == ["Elsewhere"]
        assert history.check_integrity() == []
    assert file.with_name("history.db.v2").exists()


def test_a_migration_that_fails_changes_nothing(paths: Paths, file: Path) -> None:
    number = fill(paths)
    broken = (*schema.MIGRATIONS, ("ALTER TABLE conversation ADD COLUMN colour TEXT", "SELECT nonsense FROM nowhere"))
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Database.open(file, replace(schema.HISTORY, migrations=broken))
    with History.open(paths) as history:
        assert len(history.messages(number)) == 20
        assert [row[1] for row in history._database.rows("PRAGMA table_info(conversation)")].count("colour") == 0


@pytest.mark.process
def test_without_room_for_the_copy_nothing_is_migrated(disk: Path) -> None:
    paths = Paths.from_env({"EDGECHAT_HOME": str(disk)})
    fill(paths, 40)
    heavy = ballast(disk, room=50_000)
    with pytest.raises(StateError, match=r"Cannot keep a copy of .*history\.db.*left as it is.*Free some space"):
        Database.open(history_file(paths), replace(schema.HISTORY, migrations=(*schema.MIGRATIONS, ("SELECT 1",))))
    assert sorted(each.name for each in history_file(paths).parent.glob("*.v*")) == []
    heavy.unlink()
    with History.open(paths) as history:
        assert len(history.messages(1)) == 40


def ballast(disk: Path, room: int) -> Path:
    usage = os.statvfs(disk)
    file = disk / "ballast"
    with file.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, usage.f_bavail * usage.f_frsize - room)
    return file


OPENER = """
import sys
from edgechat.chat.history import History
from edgechat.paths import Paths
sys.stdin.readline()
with History.open(Paths.from_env()) as history:
    history.add_question(history.start().id, "hello")
"""


@pytest.mark.process
@pytest.mark.parametrize("attempt", range(5))
def test_several_processes_may_be_the_first(paths: Paths, attempt: int) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    faults = [child.communicate(timeout=60)[1] for child in children]
    assert faults == [""] * 6
    with History.open(paths) as history:
        assert len(history.conversations()) == 6
        assert history.check_integrity() == []


@pytest.mark.parametrize("step", range(1, 6))
def test_another_process_may_create_it_while_it_is_opened(
    paths: Paths, file: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    others: list[History] = []
    left = step

    def then_create(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            found = call(*arguments, **options)
            left -= 1
            if left == 0:
                others.append(History.open(paths))
                others[0].start()
            return found

        return called

    file.parent.mkdir(parents=True, mode=0o700)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", then_create(os.fstat))
        patch.setattr(storage, "_size", then_create(storage._size))
        with History.open(paths) as history:
            assert len(history.conversations()) == len(others)
    for other in others:
        other.close()


class TestFullDisk:
    """A file system that has no room left."""

    @pytest.mark.process
    def test_what_was_kept_stays_and_goes_on_when_there_is_room(self, disk: Path) -> None:
        paths = Paths.from_env({"EDGECHAT_HOME": str(disk)})
        number = fill(paths)
        with History.open(paths) as history:
            heavy = ballast(disk, room=200_000)
            kept = [m.id for m in history.messages(number)]

            def go_on() -> None:
                while True:
                    kept.append(history.add_question(number, "x" * 20_000).id)

            with pytest.raises(UnusableDiskError, match=r"disk is full.*Free some space"):
                go_on()
            assert 20 < len(kept) < 60
            assert [m.id for m in history.messages(number)] == kept
            assert history.search("valve") != []
            heavy.unlink()
            history.add_question(number, "again")
            assert [message.content for message in history.messages(number, 1)] == ["again"]
            assert history.check_integrity() == []

    @pytest.mark.process
    def test_an_answer_waits_for_room(self, disk: Path) -> None:
        paths = Paths.from_env({"EDGECHAT_HOME": str(disk)})
        number = fill(paths)
        with History.open(paths) as history, history.start_answer(number) as answer:
            answer.append("first ")
            answer.flush()
            heavy = ballast(disk, room=0)
            with pytest.raises(UnusableDiskError):
                answer.append("y" * 500_000)
            assert history.messages(number)[-1].content == "first "
            heavy.unlink()
            answer.append(" last")
            answer.finish("stop")
            assert history.messages(number)[-1].content == "first " + "y" * 500_000 + " last"

    @pytest.mark.process
    def test_commands_still_read_and_say_what_cannot_be_written(
        self, disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGECHAT_HOME", str(disk))
        paths = Paths.from_env()
        fill(paths)
        ballast(disk, room=0)
        assert run_json("history", "list")[0]["messages"] == 20
        assert "valve" in run("history", "show", "1").stdout
        assert run_json("history", "search", "valve", "--limit", "3")[0]["conversation"] == 1
        done = run("ask", "-c", "x" * 100_000, code=ExitCode.STATE)
        assert "history.db" in done.stderr
        assert "Free some space" in done.stderr

    @pytest.mark.process
    def test_a_limit_on_file_sizes_is_a_full_disk(self, paths: Paths) -> None:
        number = fill(paths)
        code = (
            "import resource, sys\n"
            "from edgechat.cli.main import run\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))\n"
            "run(['ask', '-c', 'x' * 90_000])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == ExitCode.STATE, done.stderr
        assert "history.db" in done.stderr
        with History.open(paths) as history:
            assert len(history.messages(number)) == 20
            assert history.check_integrity() == []


class TestReadOnly:
    """A file system mounted read-only."""

    @pytest.mark.process
    @pytest.mark.parametrize("was", ["closed", "open"])
    def test_everything_kept_is_readable(self, disk: Path, monkeypatch: pytest.MonkeyPatch, was: str) -> None:
        monkeypatch.setenv("EDGECHAT_HOME", str(disk))
        paths = Paths.from_env()
        if was == "closed":
            fill(paths)
        else:
            # A log that was never folded in, as a power cut leaves it.
            with History.open(paths) as history:
                number = history.start().id
                for i in range(20):
                    history.add_question(number, f"{i} the blue valve")
                aside = disk.parent / "aside"
                shutil.copytree(history_file(paths).parent, aside)
            shutil.rmtree(history_file(paths).parent)
            shutil.copytree(aside, history_file(paths).parent)
            assert history_file(paths).with_name("history.db-wal").stat().st_size > 0
            history_file(paths).with_name("history.db-shm").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert run_json("history", "list")[0]["messages"] == 20
        assert "19 the blue valve" in run("history", "export").stdout
        with pytest.raises(UnusableDiskError, match=r"Read-only file system.*EDGECHAT_HOME"):
            History.open(paths)
        for arguments in (("ask", "-c", "hello"), ("history", "rm", "1")):
            assert "EDGECHAT_HOME" in run(*arguments, code=ExitCode.STATE).stderr
        with History.open_copy(paths) as history:
            history.add_question(1, "goes on in memory")
            assert len(history.messages(1)) == 21
            assert history.search("memory") != []
        assert run_json("history", "list")[0]["messages"] == 20

    @pytest.mark.process
    def test_a_home_that_cannot_be_made_is_said(self, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGECHAT_HOME", str(disk / "new"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert run_json("history", "list") == []
        assert "EDGECHAT_HOME" in run("ask", "-c", "hello", code=ExitCode.STATE).stderr
