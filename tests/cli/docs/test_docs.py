"""``edgechat docs`` and ``ask --docs`` as people and scripts use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from edgechat.cli.main import explain, root
from edgechat.documents import prepared
from edgechat.documents.add import add
from edgechat.documents.library import Library
from edgechat.errors import EdgechatError, ExitCode
from edgechat.tasks.manual.question import LAYOUT

if TYPE_CHECKING:
    from edgechat.paths import Paths

PUMP = Path(__file__).parents[2] / "documents" / "data" / "pump.md"


def run(*arguments: str) -> tuple[str, int, str]:
    """Output, exit code and error of a command, in this process."""
    result = CliRunner().invoke(root, list(arguments))
    if result.exception is None or isinstance(result.exception, SystemExit):
        return result.stdout, result.exit_code, result.stderr
    assert isinstance(result.exception, EdgechatError), result.exception
    return result.stdout, explain(result.exception), str(result.exception)


def as_json(*arguments: str) -> Any:
    output, code, error = run(*arguments, "--json")
    assert code == ExitCode.OK, error
    return json.loads(output)


def test_add_list_show_search_rm(paths: Paths) -> None:
    assert as_json("docs", "add", "--name", "line 2", str(PUMP))["added"] == [str(PUMP)]
    (document,) = as_json("docs", "list")
    assert (document["id"], document["collection"], document["name"]) == (1, "line 2", "pump.md")
    assert document["prepared"] == 0
    sections = as_json("docs", "show", "line 2")
    assert sum(each["tokens"] for each in sections) == document["tokens"]
    best = as_json("docs", "search", "--docs", "line 2", "error", "E-402")[0]
    output, code, _ = run("docs", "search", "--docs", "line 2", "-n", "1", "error", "E-402")
    assert "› 5 Faults › 5.1 Error codes" in output
    assert "| E-402 | Motor too hot" in output
    output, code, _ = run("docs", "show", str(best["id"]))
    assert code == ExitCode.OK
    assert "E-402 | Motor too hot" in output
    assert run("docs", "rm", "pump.md")[1] == ExitCode.OK
    assert as_json("docs", "list") == []


def test_nothing_is_made_by_reading(paths: Paths) -> None:
    assert run("docs", "list")[0].startswith("No documents yet")
    assert not paths.data.exists()


def test_a_skipped_file_is_named_and_the_others_are_added(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "bad.docx").write_text("no zip")
    (tmp_path / "good.txt").write_text("A good text.")
    output, code, error = run("docs", "add", str(tmp_path))
    assert code == ExitCode.INVALID_INPUT
    assert "good.txt" in output
    assert "bad.docx is damaged" in error


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["docs", "add", "/nowhere"], ExitCode.USAGE, "does not exist"),
        (["docs", "show", "nothing"], ExitCode.USAGE, "No collection and no document"),
        (["docs", "rm", "nothing"], ExitCode.USAGE, "No collection and no document"),
        (["docs", "show", "77"], ExitCode.INVALID_INPUT, "no section 77"),
        (["docs", "search", "--docs", "nothing", "x"], ExitCode.USAGE, "No collection and no document"),
        (["docs", "add", "--name", "#1", str(PUMP)], ExitCode.USAGE, "no name for a collection"),
        (["ask", "--strict", "x"], ExitCode.USAGE, "--strict needs --docs"),
        (["ask", "--docs", "x", "--image", str(PUMP), "y"], ExitCode.USAGE, "does not go with --image"),
    ],
)
def test_wrong_use_is_explained(paths: Paths, arguments: list[str], code: int, words: str) -> None:
    _, found, error = run(*arguments)
    assert found == code
    assert words in error


def test_an_empty_folder_is_said(paths: Paths, tmp_path: Path) -> None:
    _, code, error = run("docs", "add", str(tmp_path))
    assert code == ExitCode.INVALID_INPUT
    assert "no document" in error


def test_a_prepared_state_counts_only_while_its_file_is_whole(paths: Paths) -> None:
    directory = prepared.state_directory(paths)
    directory.mkdir(parents=True)
    file = directory / "abc.kv"
    file.write_bytes(b"state")
    with Library.open(paths) as library:
        add(library, [PUMP], "pump")
        prepared.remember(library, 1, model="m:q4", layout=LAYOUT, file=file, tokens=300)
        prepared.remember(library, 2, model="m:q4", layout="another", file=file, tokens=300)
        assert prepared.states(library, paths, layout=LAYOUT) == []
    file.with_suffix(".sha256").write_text("digest")
    assert as_json("docs", "list")[0]["prepared"] == 1
    file.unlink()
    assert as_json("docs", "list")[0]["prepared"] == 0
