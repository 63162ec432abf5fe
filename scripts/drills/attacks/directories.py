"""Attacks 1 to 4 and 6: the browser's UI, a stick, a prepared home, a file named like a module, planted links."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

from scripts.drills.attacks.target import STRANGER, Outcome, as_stranger

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.drills.attacks.target import Target

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


"localhost".encode("idna")  # imported now: another user may not be able to read this Python's files


def web_ui(target: Target) -> Outcome:
    """Another user opens a tab of ``tui --web``, which acts as its owner."""
    server = target.start("tui", "--web", "--port", "0")
    try:
        port = target.port_of(server)

        def open_tab() -> str:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
                peer.sendall(UPGRADE.format(port=port).encode())
                return peer.recv(100).decode("latin-1").split("\r")[0]

        status = as_stranger(open_tab)
    finally:
        server.terminate()
        server.wait(60)
    return Outcome(" 101 " in status, status)


def stick(target: Target) -> Outcome:
    """A folder ``edgechat/`` beside a signed, trusted bundle; the user updates from inside the stick."""
    bundle = target.folder / "stick"
    publisher = target.with_home(target.folder / "publisher")
    model = target.starter_copy()
    publisher.run("models", "add", str(model), "--name", "own")
    _export(publisher, bundle)
    fingerprint = next(iter(re.findall(r"own\s+(\S+)", publisher.run("models", "keys", "list")[1])))
    target.run("models", "import", str(bundle), "--trust", fingerprint)
    # The next version, which is tried before it replaces the one in use.
    publisher.run("models", "rm", "own")
    newer = target.folder / "newer.gguf"
    newer.write_bytes(model.read_bytes().replace(b"You are a helpful", b"You are a useful ", 1))
    publisher.run("models", "add", str(newer), "--name", "own")
    _export(publisher, bundle)
    target.plant(bundle / "edgechat" / "__init__.py")
    ended = []
    for command in (("models", "update", "."), ("doctor",), ("ask", "-n", "1", "hi")):
        code, _, _ = target.run(*command, cwd=bundle)
        ran = target.has_run_planted()
        ended.append(f"`{command[0]}`: exit code {code}{', the folder ran' if ran else ''}")
    target.stop()
    return Outcome(any("ran" in each for each in ended), "; ".join(ended))


def _export(publisher: Target, bundle: Path) -> None:
    code, _, said = publisher.run("models", "export", "own", str(bundle))
    if code:
        raise SystemExit(f"models export ended with {code}: {said}")


def prepared_home(target: Target) -> Outcome:
    """A home that another user made, with ``queue.py`` in its state directory and a link in place of the log."""
    home = target.folder / "prepared"
    victim = target.folder / "precious.txt"
    victim.write_text("precious\n")
    target.plant(home / "state" / "queue.py")
    (home / "state/logs").mkdir()
    (home / "state/logs/engine.log").symlink_to(victim)
    for each in (home, home / "state", home / "state/logs", home / "state/queue.py"):
        each.chmod(0o777)
        if os.geteuid() == 0:
            os.chown(each, STRANGER, STRANGER)
    visitor = target.with_home(home)
    code, _, said = visitor.run("ask", "-n", "1", "hi")
    visitor.run("stop")
    is_written = victim.read_text() != "precious\n"
    ran = target.has_run_planted()
    return Outcome(ran or is_written, f"queue.py {'ran' if ran else 'did not run'}, the user's file was "
                   f"{'appended to' if is_written else 'left alone'}; exit code {code}: {said[:90]}")  # fmt: skip


def module_name(target: Target) -> Outcome:
    """``token.py`` in the current directory of ``python -m edgechat serve``."""
    here = target.folder / "downloads"
    target.plant(here / "token.py")
    process = target.start("serve", "--port", "0", as_module=True, cwd=here)
    assert process.stderr is not None
    said = process.stderr.readline().strip()
    process.terminate()
    said += process.stderr.read()
    process.wait(60)
    target.stop()
    ran = target.has_run_planted()
    error = next(iter(re.findall(r"\w*ImportError.*", said)), "")
    return Outcome(ran or bool(error), error[:100] or ("token.py ran" if ran else "the server started"))


def planted_link(target: Target) -> Outcome:
    """``history export --out`` into a shared directory where the temporary file's name is a link."""
    shared, victim = target.folder / "shared", target.folder / "diary.txt"
    shared.mkdir()
    shared.chmod(0o777)
    victim.write_text("precious\n")
    (shared / ".x.md.new").symlink_to(victim)
    target.run("ask", "-c", "-n", "2", "Say hello.")
    code, _, said = target.run("history", "export", "--out", str(shared / "x.md"))
    target.stop()
    is_lost = not victim.exists() or victim.read_text() != "precious\n"
    return Outcome(
        is_lost, f"the link's target was {'destroyed' if is_lost else 'left alone'}; exit code {code} {said[:80]}"
    )
