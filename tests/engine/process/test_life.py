"""The engine process: shared, kept, stopped, replaced; and nothing it does leaves this machine or the home."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from edgechat.engine.client import client
from edgechat.engine.client.connection import EngineConnection
from edgechat.engine.client.launch import START_LOCK, attach_or_start, start_early
from edgechat.engine.protocol import unix_socket

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths
    from tests.command import Cli

pytestmark = pytest.mark.engine


def wait_until(condition: object, patience_s: float = 20.0) -> None:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    pytest.fail("it did not happen in time")


def test_ps_and_stop(cli: Cli) -> None:
    assert cli.json("ps", "--json") == []
    cli("ask", "-n", "1", "hi")
    (engine,) = cli.json("ps", "--json")
    assert set(engine) >= {"pid", "model", "quant", "n_ctx", "rss_bytes", "clients", "idle_s"}
    assert engine["model"] == "smollm2-135m-instruct"
    assert engine["clients"] == 0
    # Everywhere in JSON as in the names of GGUF files; the text for people is smaller.
    assert engine["quant"] == "Q4_1"
    assert cli.json("ask", "-n", "1", "--json", "hi")["quant"] == "Q4_1"
    assert "smollm2-135m-instruct:q4_1" in cli("ps").stdout
    assert cli("stop").returncode == 0
    assert cli.json("ps", "--json") == []
    with pytest.raises(ProcessLookupError):
        os.kill(engine["pid"], 0)


def test_two_questions_at_once_share_one_engine_and_are_not_mixed(cli: Cli) -> None:
    questions = ("Tell me about dogs.", "Tell me about Paris.", "Tell me about bread.", "Tell me about rain.")
    # Rows of a batch round otherwise than a row alone: longer answers may part at a word that is as likely as another.
    alone = [cli("ask", q, "--temp", "0", "-n", "8").stdout for q in questions]
    cli("stop")
    with ThreadPoolExecutor() as pool:
        together = list(pool.map(lambda q: cli("ask", q, "--temp", "0", "-n", "8"), questions))
    assert [each.returncode for each in together] == [0, 0, 0, 0]
    assert [each.stdout for each in together] == alone
    assert len(cli.json("ps", "--json")) == 1


def test_more_questions_than_cells_wait_their_turn(cli: Cli) -> None:
    # Four answers of 400 tokens each do not fit 768 cells together.
    ask = ("--ctx", "768", "--temp", "0", "-n", "400", "--stats=json")
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda i: cli("ask", f"Say {i}.", *ask), range(4)))
    assert [each.returncode for each in done] == [0] * 4


def test_an_engine_that_was_started_ahead_is_the_one_that_answers(paths: Paths) -> None:
    start_early(paths)
    start_early(paths)  # one is on its way
    with contextlib.closing(attach_or_start(paths)) as peer:
        supervisor = unix_socket.supervisor_pid(peer)
    start_early(paths)  # one is there
    with contextlib.closing(attach_or_start(paths)) as peer:
        assert unix_socket.supervisor_pid(peer) == supervisor
    # Whoever comes later is not kept waiting by a lock that the first one still holds.
    with (paths.state / START_LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_client_buries_the_engines_that_it_started(cli: Cli, paths: Paths) -> None:
    """A server lives for months, and each of its engines naps."""

    def start() -> psutil.Process:
        with contextlib.closing(attach_or_start(paths)) as peer:
            supervisor = unix_socket.supervisor_pid(peer)
        assert supervisor is not None
        return psutil.Process(supervisor)

    first = start()
    client.stop(paths)
    wait_until(lambda: first.status() == psutil.STATUS_ZOMBIE)
    second = start()
    assert not first.is_running()
    assert second.is_running()


def test_the_engine_outlives_the_session_that_started_it(cli: Cli, paths: Paths) -> None:
    # A session leader that dies takes its process group with it by SIGHUP; the engine is in a session of its own.
    session = subprocess.Popen(
        ["bash", "-c", " ".join(cli.command("ask", "-n", "1", "hi")) + "; sleep 60"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: client.status(paths) and client.status(paths)[0]["stage"] == "idle")
    (before,) = client.status(paths)
    os.killpg(session.pid, signal.SIGHUP)
    os.killpg(session.pid, signal.SIGKILL)
    session.wait()
    assert session.stdout is not None
    session.stdout.close()
    assert cli("ask", "-n", "1", "hi again").returncode == 0
    (after,) = client.status(paths)
    assert after["pid"] == before["pid"]


def test_keep_alive_zero_leaves_with_its_client(cli: Cli, paths: Paths) -> None:
    assert cli("ask", "-n", "1", "--keep-alive", "0", "hi").returncode == 0
    wait_until(lambda: client.status(paths) == [])
    assert not (paths.state / "engine.sock").exists()


def test_an_idle_engine_leaves_after_its_time(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "--keep-alive", "1s", "hi")
    assert client.status(paths)
    wait_until(lambda: client.status(paths) == [])


def test_a_switch_of_models_replaces_the_engine(cli: Cli, paths: Paths, starter_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.symlink_to(starter_file)
    cli("ask", "-n", "1", "hi")
    (first,) = client.status(paths)
    assert cli("ask", "-m", str(other), "-n", "1", "hi").returncode == 0
    (second,) = client.status(paths)
    assert (second["model"], second["pid"] != first["pid"]) == ("other", True)


def test_two_models_wished_for_at_once_are_answered_by_the_right_one(
    cli: Cli, starter_file: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "first.gguf", tmp_path / "second.gguf"]
    for file in files:
        file.symlink_to(starter_file)
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda file: cli("ask", "-m", str(file), "-n", "4", "--json", "hi"), files))
    assert [json.loads(each.stdout)["model"] for each in done] == ["first", "second"]


def test_a_model_that_another_client_keeps_is_not_taken_away(
    cli: Cli, paths: Paths, starter_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.symlink_to(starter_file)
    cli("ask", "-n", "1", "hi")
    with contextlib.closing(EngineConnection(attach_or_start(paths), keeps=True)):
        done = cli("ask", "-m", str(other), "--no-switch", "-n", "1", "hi")
        assert done.returncode == 3
        assert "another client keeps it" in done.stderr
    assert cli("ask", "-m", str(other), "--no-switch", "-n", "1", "hi").returncode == 0


def test_a_larger_context_loads_again_and_a_smaller_one_does_not(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "--ctx", "1024", "hi")
    (small,) = client.status(paths)
    assert small["n_ctx"] == 1024
    cli("ask", "-n", "1", "--ctx", "512", "hi")
    assert client.status(paths)[0]["pid"] == small["pid"]
    cli("ask", "-n", "1", "--ctx", "2048", "hi")
    assert client.status(paths)[0]["n_ctx"] == 2048


def test_a_home_too_deep_for_a_socket_address_works(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    monkeypatch.setenv("EDGECHAT_HOME", str(deep))
    assert cli("ask", "-n", "1", "hi").returncode == 0
    assert len(cli.json("ps", "--json")) == 1
    assert cli("stop").returncode == 0


def test_a_home_that_cannot_be_written_is_exit_8(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path / "file"))
    done = cli("ask", "hi")
    assert done.returncode == 8
    assert "EDGECHAT_HOME" in done.stderr


def test_a_stale_socket_is_no_obstacle(cli: Cli, paths: Paths) -> None:
    paths.state.mkdir(parents=True)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(paths.socket))
    dead.close()
    assert cli("ask", "-n", "1", "hi").returncode == 0


def test_a_client_that_talks_nonsense_harms_nobody(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "hi")
    (before,) = client.status(paths)
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x0d" + b'{"type":null}',
    ):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(paths.socket))
        peer.sendall(garbage)
        peer.close()
    with contextlib.closing(EngineConnection(attach_or_start(paths), keeps=False)) as link:
        hi = [{"role": "user", "content": "hi"}]
        broken: tuple[Any, ...] = (
            "no object",
            {"messages": hi, "resume": [-5, 10**9]},
            {"messages": [], "wish": {}},
            {"messages": hi, "max_tokens": "many"},
            {"messages": hi, "sampling": {"temperature": "hot"}},
            {"messages": hi, "unheard_of": 1},
        )
        for number, request in enumerate(broken):
            frame = {"type": "generate", "id": number, "request": request}
            link.send(frame)
            answer = link.receive(timeout_s=20)
            assert answer is not None
            assert (answer["type"], answer["id"]) == ("error", frame["id"]), answer
        for frame in ({"type": "keep"}, {"type": "cancel", "id": [1]}, {"type": "unheard-of"}, {"type": "generate"}):
            link.send(frame)
    assert cli("ask", "-n", "2", "hi").returncode == 0
    assert client.status(paths)[0]["pid"] == before["pid"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("import edgechat.version; edgechat.version.__version__ = '99.0'", "is version"),
        # A checkout after a pull: its requests know a field that the running engine has never heard of.
        (
            "from edgechat.engine.protocol import version; version.IDENTITY['dialect'] = 'newer'",
            "another state of the code",
        ),
    ],
    ids=["version", "dialect"],
)
def test_engines_of_other_code_are_replaced(cli: Cli, paths: Paths, change: str, said: str) -> None:
    cli("ask", "-n", "1", "hi")
    (before,) = client.status(paths)
    newer = f"{change}\nfrom edgechat.cli.main import run; run(['ask', '-n', '1', 'hi'])"
    # The engine that this client starts is the installed version again: each replaces the other, and neither loops.
    done = subprocess.run(
        [sys.executable, "-c", newer], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 6
    assert said in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(before["pid"], 0)
    assert cli("ask", "-n", "1", "hi").returncode == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_internet_socket_and_no_file_outside_the_home(cli: Cli, home: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    ask = ("ask", "-n", "8", "--keep-alive", "0", "hi")
    calls_watched = "trace=socket,connect,openat,open,creat,mkdir,mkdirat,rename,renameat2"
    done = subprocess.run(
        ["strace", "-f", "-o", str(trace), "-e", calls_watched, *cli.command(*ask)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    calls = trace.read_text()
    assert "llama" in calls  # the engine itself was followed
    assert re.findall(r"socket\(AF_INET6?\b.*", calls) == []
    written = re.findall(r'open(?:at)?\([^"]*"([^"]+)", [^)]*O_(?:WRONLY|RDWR)[^)]*\) = \d', calls)
    made = re.findall(r'mkdir(?:at)?\([^"]*"([^"]+)"[^)]*\) = 0', calls)
    allowed = (str(home), "/dev/", "/proc/self/")
    assert [path for path in written + made if path.startswith("/") and not path.startswith(allowed)] == []


def test_the_log_is_kept_and_bounded(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "hi")
    log = paths.state / "logs" / "engine.log"
    text = log.read_text()
    assert "llama_model_loader" in text
    assert log.stat().st_mode & 0o077 == 0
    assert len(text) < 200_000
    assert json.dumps(text)  # plain text throughout


def test_a_greedy_answer_stays_the_same_by_the_shorter_way_to_the_likeliest_token(cli: Cli) -> None:
    def answer() -> str:
        return cli("ask", "--temp", "0", "-n", "24", "Name the colors of the rainbow.").stdout

    def has_numpy() -> bool:
        return any("numpy" in each.path for each in psutil.Process(engine["pid"]).memory_maps())

    assert cli("ask", "--temp", "0.7", "-n", "4", "hi").returncode == 0
    (engine,) = cli.json("ps", "--json")
    assert not has_numpy(), "who does not ask for the likeliest token pays nothing for it"
    by_the_list = answer()
    wait_until(has_numpy)

    assert answer() == by_the_list != ""
