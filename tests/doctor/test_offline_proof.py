"""The page for IT security: every line can be had again from the command that stands above it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from edgechat.doctor import packages, syscall_trace
from edgechat.doctor.offline_proof import proof, proof_steps, run
from edgechat.doctor.offline_proof_texts import INTRODUCTION, METHOD, STATEMENTS, TITLE, Language
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paths(home: Path) -> Paths:
    return Paths.from_env()


def blocks(page: str) -> list[tuple[str, str]]:
    """Every command of a page and what stands below it."""
    return re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", page)


@pytest.mark.engine
@pytest.mark.slow
def test_a_page_is_had_again_by_hand_from_its_own_commands(paths: Paths) -> None:
    page = proof(paths, "en")
    found = blocks(page)
    assert len(found) == page.count("```console") >= 13
    by_hand = [
        subprocess.run(
            ["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
        ).stdout
        for command, _ in found
    ]
    assert by_hand == [output for _, output in found]
    shown = {output for _, output in found}
    assert "socket(AF_UNIX\n" in shown
    assert "./models/download/hub.py\n" in shown
    assert any(
        output.startswith("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53") for output in shown
    )
    outside = next(output for command, output in found if "O_CREAT" in command)
    assert set(outside.split()) <= {'"/dev/null"', '"/proc/self/oom_score_adj"', '"/dev/tty"'}


@pytest.mark.engine
def test_without_strace_the_same_is_seen_through_proc(paths: Paths) -> None:
    scratch = private_directory(paths.state / "proof")
    shown = {each.statement: run(each.command) for each in list(proof_steps(paths, scratch, "proc"))[:5]}
    assert shown["observe"] == "0\n"
    assert shown["sockets"] == "socket(AF_UNIX\n"
    assert shown["network"] == "0\n"
    assert "./state/logs/engine.log" in shown["inside"]


@pytest.mark.process
def test_the_witness_sees_network_sockets_and_files_of_the_observed_home_alone(tmp_path: Path) -> None:
    program = (
        "import socket, sys, time; a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0)); "
        "b = socket.socket(socket.AF_INET6); b.bind(('::1', 0)); b.listen(); "
        "f = open(sys.argv[1], 'w'); time.sleep(0.5)"
    )
    env = dict(os.environ)
    os.environ["EDGECHAT_HOME"] = str(tmp_path)
    try:
        status, lines = syscall_trace.watch(str(tmp_path), [sys.executable, "-c", program, str(tmp_path / "out")])
    finally:
        os.environ.clear()
        os.environ.update(env)
    assert status == 0
    assert {"socket(AF_INET", f'openat("{tmp_path / "out"}", O_WRONLY)'} <= set(lines)
    assert syscall_trace.watch(str(tmp_path / "other"), [sys.executable, "-c", "pass"]) == (0, [])


@pytest.mark.process
def test_both_languages_say_everything(paths: Paths) -> None:
    used = {each.statement for each in proof_steps(paths, paths.state / "proof", "strace")}
    assert used <= set(STATEMENTS)
    texts: list[dict[Language, str]] = [*STATEMENTS.values(), TITLE, INTRODUCTION, *METHOD.values()]
    for words in texts:
        assert set(words) == {"en", "ja"}
        assert all(words.values())
        assert re.search("[\u3040-\u30ff]", words["ja"])
        assert re.findall(r"\{\w+\}|`[^`]+`", words["en"]) == re.findall(r"\{\w+\}|`[^`]+`", words["ja"])


def test_packages_are_those_that_are_needed_with_their_versions_and_licences() -> None:
    found = {package.name: package for package in packages.needed()}
    assert {"edgechat", "llama-cpp-python", "click", "textual"} <= set(found)
    assert "pytest" not in found
    assert found["click"].version == metadata.version("click")
    assert found["edgechat"].licence == "Apache-2.0"
    assert "BSD" in found["click"].licence
