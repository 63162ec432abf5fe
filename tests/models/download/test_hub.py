"""One module may reach the network: nothing else imports a client for it, and nothing else opens a connection."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgechat
from tests.models.store_kit import random_gguf

CLIENTS = {
    "huggingface_hub",
    "httpx2",
    "httpx",
    "requests",
    "urllib3",
    "urllib.request",
    "http.client",
    "aiohttp",
    "hf_xet",
}
PACKAGE = Path(edgechat.__file__).parent

WITHOUT_NETWORK = """
import sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind"}:
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
from pathlib import Path
from edgechat.models.store.add import add
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.bundle.export import export
from edgechat.models.store.other_programs import find_model_files
from edgechat.models.store.installed import installed
from edgechat.models.bundle.signing import publisher
from edgechat.models.store.store import Store
from edgechat.models.bundle.trust import trust_publisher
from edgechat.models.store.verify import verify
from edgechat.paths import Paths
home, model = map(Path, sys.argv[1:])
here, there = (Paths.from_env({"EDGECHAT_HOME": str(home / name)}) for name in ("here", "there"))
added = add(Store(here), model)
export([added], home / "stick", publisher(here))
trust_publisher(there, (home / "stick/metadata/1.root.json").read_bytes())
import_bundle(Store(there), home / "stick")
assert all(verdict.ok for verdict in verify(Store(there)))
find_model_files({"HOME": str(home)})
assert installed(there)[0].sha256 == added.sha256
Store(there).remove(added.name, added.quant)
print("done")
"""


def test_only_the_hub_module_imports_a_network_client() -> None:
    roots = {name.partition(".")[0] for name in CLIENTS}
    importers = {
        (path.relative_to(PACKAGE).as_posix(), name.partition(".")[0])
        for path in PACKAGE.rglob("*.py")
        if any(root in (text := path.read_text(encoding="utf-8")) for root in roots)
        for node in ast.walk(ast.parse(text))
        for name in _imported(node)
        if name in CLIENTS or name.partition(".")[0] in CLIENTS
    }
    # aiohttp is client and server in one; the terminal UI in a browser takes the server alone.
    browser = ast.walk(ast.parse((PACKAGE / "serve/web_ui.py").read_text(encoding="utf-8")))
    taken = [node for node in browser if isinstance(node, ast.ImportFrom) and node.module == "aiohttp"]
    assert [name.name for node in taken for name in node.names] == ["web"]
    assert importers - {("serve/web_ui.py", "aiohttp")} == {
        (module, name) for module, name in importers if module == "models/download/hub.py"
    }


@pytest.mark.process
def test_everything_but_pull_works_without_a_socket(tmp_path: Path) -> None:
    model = random_gguf(tmp_path / "tiny.gguf", 300_000)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, str(tmp_path), str(model)],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "done", done.stderr


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
