"""Uninstalling: what it says beforehand, what it leaves, and that it never takes what is not edgechat's."""

import os
import subprocess
import sys

import pytest

from edgechat.paths import Paths
from edgechat.service.uninstall import owned_files, remove


def run(home, *arguments: str, answer: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgechat", "uninstall", *arguments],
        env={**os.environ, "EDGECHAT_HOME": str(home), "HOME": str(home), **env},
        input=answer, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    """What a year of use leaves, and what somebody else put beside it."""
    root = tmp_path / "home"
    store = root / "models" / "smollm2-135m-instruct" / "Q4_1"
    files = {
        root / "config" / "config.toml": b"",
        root / "state" / "logs" / "engine.log": b"x" * 5000,
        root / "data" / "chat" / "history.db": b"x" * 9000,
        root / "data" / "chat" / "history.db-wal": b"x",
        root / "config" / "pin.json": b"{}",
        root / "state" / "engine.lock": b"",
        root / "cache" / "answers.sqlite": b"x",
        root / "cache" / "prefixes" / "a": b"x" * 100_000,
        store / "current": b"abc\n",
        store / "abc" / "model.gguf": b"x" * 300_000,
        root / "models" / ".staging" / "other+q8_0" / "x.part": b"x" * 7000,
        root / "models" / "photos" / "2024" / "me.jpg": b"mine",
        root / "models" / "notes.txt": b"mine",
    }
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


def left(home) -> set[str]:
    return {str(each.relative_to(home)) for each in home.rglob("*") if not each.is_dir()}


MINE = {"models/photos/2024/me.jpg", "models/notes.txt"}


@pytest.mark.process
def test_it_says_what_goes_and_what_stays_and_does_nothing_without_a_yes(home):
    before = left(home)
    done = run(home, answer="n\n")
    assert done.returncode == 130
    for word in ("conversations", "models", "caches", "stays", "notes.txt", "photos", "in all"):
        assert word in done.stdout
    assert left(home) == before


@pytest.mark.process
def test_it_removes_what_is_edgechats_and_nothing_else(home):
    done = run(home, "--yes")
    assert done.returncode == 0, done.stderr
    assert left(home) == MINE
    assert not (home / "models" / "smollm2-135m-instruct").exists()
    assert not (home / "cache").exists()
    assert "The program itself: rm -r " in done.stdout or "pip uninstall edgechat" in done.stdout


@pytest.mark.process
def test_the_models_can_stay(home):
    done = run(home, "--yes", "--keep-models")
    assert done.returncode == 0
    assert {each for each in left(home) if not each.startswith("models/")} == set()
    assert (home / "models" / "smollm2-135m-instruct" / "Q4_1" / "abc" / "model.gguf").exists()
    assert str(home / "models") in done.stdout


def test_models_inside_the_conversations_directory_can_stay_too(tmp_path):
    paths = Paths.from_env({"HOME": str(tmp_path)})
    (paths.models / "a").mkdir(parents=True)
    (paths.models / "a" / "kept").write_text("x")
    (paths.data / "chat").mkdir()
    (paths.data / "chat" / "history.db").write_text("x")
    (paths.data / "documents").mkdir()
    (paths.data / "documents" / "documents.db-wal").write_text("x")
    (each,) = owned_files(paths, keep_models=True)
    assert (each.what, each.n_files) == ("conversations and documents", 2)
    assert remove(each) == []
    assert (paths.models / "a" / "kept").exists()
    assert not (paths.data / "chat").exists()


@pytest.mark.process
def test_links_are_removed_and_not_followed_and_shared_files_free_nothing(home, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (home / "cache" / "prefixes" / "link").symlink_to(outside)
    os.link(home / "models" / "smollm2-135m-instruct" / "Q4_1" / "abc" / "model.gguf", tmp_path / "original.gguf")
    paths = Paths.from_env({"EDGECHAT_HOME": str(home)})
    models = next(each for each in owned_files(paths, keep_models=False) if each.what == "models")
    assert models.freed < 100_000
    assert run(home, "--yes").returncode == 0
    assert (outside / "precious").exists()
    assert (tmp_path / "original.gguf").exists()


@pytest.mark.process
def test_a_directory_that_is_shared_with_others_keeps_what_is_theirs(home, tmp_path):
    shared = tmp_path / "shared"
    theirs = {"thesis.tex", "logs/httpd.log", "proof.pdf", "keys/id.pem"}
    for name in theirs:
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_text("theirs")
    (shared / "logs" / "engine.log").write_text("x")
    for name in ("config", "data", "cache"):
        (home / name / "theirs").mkdir()
        (home / name / "theirs" / "file").write_text("x")
    done = run(home, "--yes", EDGECHAT_STATE=str(shared))
    assert done.returncode == 0, done.stderr
    assert left(shared) == theirs
    assert left(home) >= {"config/theirs/file", "data/theirs/file", "cache/theirs/file"}
    assert not (home / "data" / "chat").exists()
    assert "thesis.tex (not edgechat's)" in done.stdout


@pytest.mark.engine
def test_it_leaves_nothing_of_what_a_use_has_written(tmp_path):
    used = tmp_path / "used"
    environment = {**os.environ, "EDGECHAT_HOME": str(used), "HOME": str(used)}
    for arguments in (["ask", "-c", "-n", "2", "Hi"], ["models", "use", "auto"], ["serve", "--rotate-token"]):
        subprocess.run([sys.executable, "-m", "edgechat", *arguments], env=environment, timeout=100, check=True)
    assert run(used, "--yes").returncode == 0
    assert not used.exists()


@pytest.mark.process
def test_where_nothing_is_left_it_says_so(tmp_path):
    done = run(tmp_path / "empty")
    assert done.returncode == 0
    assert "There are no files of edgechat" in done.stdout


def test_a_checkout_names_its_environment_and_the_link_to_it(tmp_path, monkeypatch, capsys) -> None:
    from edgechat.cli import uninstall
    from edgechat.doctor.installation import Installation

    checkout = tmp_path / "edgechat"
    (checkout / ".venv").mkdir(parents=True)
    (checkout / "scripts").mkdir()
    (checkout / "scripts/edgechat").touch()
    link = tmp_path / ".local/bin/edgechat"
    link.parent.mkdir(parents=True)
    link.symlink_to(checkout / "scripts/edgechat")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Installation, "here", lambda: Installation("python", checkout))
    uninstall._print_program_removal()
    assert capsys.readouterr().out == f"The program itself: rm -r {checkout}/.venv {link}\n"
