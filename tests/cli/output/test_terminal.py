"""What people read on a terminal fits it: tables give way by column, sentences break between words, commands never."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest

from edgechat.cli import serve
from edgechat.cli.output import terminal
from edgechat.cli.output.table import Column, cells, shortened, table
from edgechat.cli.output.terminal import columns, wrapped
from tests.command import Command, on_terminal

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
HEAD = (
    Column("NAME"),
    Column("SIZE", is_right=True),
    Column("FILES", may_go_below=True),
    Column("LICENCE", rank=1, least=20),
    Column("FROM", rank=2, least=6),
)
ROWS = [
    ("a-model-with-a-name", "1 GB", "Q4_0 1 GB, Q8_0 2 GB", "Open Licence of Somebody v1 (to be accepted)", "hub:a/b"),
    ("b", "12 GB", "Q4_K_M 12 GB", "MIT", "file:/home/user/b.gguf"),
]


def lines_on_terminal(command: Command, width: int, *arguments: str, **environment: str) -> list[str]:
    """The lines that a terminal of ``width`` columns gets, without colours."""
    written, _ = on_terminal(*arguments, env={**command.environment, **environment}, width=width)
    return ESCAPES.sub("", written.decode()).replace("\r", "").splitlines()


@pytest.fixture
def command(tmp_path) -> Command:
    found = Command(tmp_path / "home")
    found.environment.pop("COLUMNS", None)
    return found


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_catalog_fits_and_keeps_what_decides(command: Command, width: int) -> None:
    lines = lines_on_terminal(command, width, "models", "list", "--all")
    # A path is never broken.
    assert [line for line in lines if cells(line) > width and "/home/models" not in line] == []
    at = next(number for number, line in enumerate(lines) if line.startswith("  llama-3.2-1b-instruct "))
    assert "2 GB" in lines[at]
    assert "(to be accepted)" in lines[at]
    text = " ".join(" ".join(lines[at : at + 3]).split())
    assert "Q3_K_M 691 MB, Q4_0 773 MB, Q4_K_M 808 MB, Q8_0 1.32 GB" in text


@pytest.mark.process
def test_a_pipe_gets_everything_on_one_line(command: Command) -> None:
    (line,) = (line for line in command("list", "--all").stdout.splitlines() if "llama-3.2-1b-instruct" in line)
    assert "Q8_0 1.32 GB Llama 3.2 Community License (to be accepted) en de fr it pt hi +2" in " ".join(line.split())


def test_columns_give_way_in_turn() -> None:
    def at(width: int | None) -> list[str]:
        return [line for lines in table(HEAD, ROWS, width) for line in lines]

    whole = at(None)
    assert whole == at(200)
    assert len(whole) == 3
    assert whole[2] == f"{'b':<19}  12 GB  {'Q4_K_M 12 GB':<20}  {'MIT':<44}  file:/home/user/b.gguf"
    below = at(100)
    assert below[:2] == [f"{'NAME':<19}   SIZE  {'LICENCE':<44}  FROM", "    FILES"]
    assert below[3] == "    Q4_0 1 GB, Q8_0 2 GB"
    assert "hub:a/b" in below[2]
    assert below[4].endswith("file:/home/user/b.gguf")
    assert at(92)[4].endswith("file:/home/user/b…")
    assert "Open Licence… (to be accepted)" in at(66)[2]
    narrow = at(50)
    assert "FROM" not in narrow[0]
    assert narrow[2] == f"{'a-model-with-a-name':<19}   1 GB  Op… (to be accepted)"
    # Too narrow for anything: name, size and files stay whole all the same.
    assert at(10)[2:4] == ["a-model-with-a-name   1 GB", "    Q4_0 1 GB,"]


def test_characters_that_take_two_columns_count_as_two() -> None:
    assert cells("日本語") == 6
    assert shortened("日本語モデル", 7) == "日本語…"
    assert shortened("Apache-2.0", 10) == "Apache-2.0"


# -- sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Answering with the starter model, which is often wrong. Get a better one: edgechat models pull",
        "The model in use is gone from the disk. Choose another: edgechat models use MODEL, or use auto",
        "Removed all the conversations up to the seventh. Undo: edgechat history rm --undo 1 2 3 4 5 6 7",
        "It failed, so the service ends at logout. Run: sudo loginctl enable-linger $USER",
        "Close other programs, ask for less with --ctx, or see what fits: `edgechat models plan --all`.",
        "Elsewhere fetch it from https://example.org/a/b/resolve/0123456789abcdef0123456789abcdef/c-Q4_K_M.gguf",
    ],
)
@pytest.mark.parametrize("width", [40, 57, 80])
def test_a_sentence_breaks_between_words_and_never_in_a_command_or_address(text: str, width: int) -> None:
    kept = re.findall(r"edgechat [^,`]+|sudo .*|https:\S+", text)
    assert kept
    lines = wrapped(text, width, hanging="  ").splitlines()
    assert " ".join(line.strip() for line in lines) == text
    for each in kept:
        assert any(each in line for line in lines), lines
    assert all(len(line) <= width or any(each in line for each in kept) for line in lines)


@pytest.mark.process
def test_an_error_and_its_hint_are_wrapped_on_a_terminal_only(command: Command) -> None:
    offline = {"HF_HUB_OFFLINE": "1"}
    arguments = ("models", "pull", "qwen2.5-0.5b-instruct")
    lines = lines_on_terminal(command, 80, *arguments, **offline)
    lines = lines[
        next(at for at, line in enumerate(lines) if line.startswith("edgechat: ")) :
    ]  # behind the measurement
    assert [line for line in lines if len(line) > 80 and "https://" not in line] == []
    assert sum("resolve/" in line and line.endswith(".gguf") for line in lines) == 1
    assert lines[1].startswith(" " * len("edgechat: "))
    piped = command(*arguments[1:], code=7, **offline).stderr.splitlines()
    piped = piped[next(at for at, line in enumerate(piped) if line.startswith("edgechat: ")) :]
    assert len(piped) == 2
    assert " ".join(" ".join(lines).split()) == " ".join(" ".join(piped).split())


@pytest.mark.process
def test_wrong_usage_is_wrapped_too(command: Command) -> None:
    lines = lines_on_terminal(
        command, 60, "models", "use", "qwen2.5-0.5b-instruct", "--ctx", "twenty-thousand-and-more"
    )
    assert [line for line in lines if len(line) > 60] == []
    assert "'twenty-thousand-and-more'" in " ".join(lines)


def test_a_pipe_has_no_width_and_a_serial_console_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        assert columns(pipe) is None
    assert columns(None) is None
    ours, theirs = pty.openpty()  # tells no width
    with os.fdopen(ours), os.fdopen(theirs, "w") as terminal:
        assert columns(terminal) == 80
        monkeypatch.setenv("COLUMNS", "132")
        assert columns(terminal) == 132


@pytest.mark.parametrize("token", [None, Path("/home/somebody/.config/edgechat/serve.token")])
def test_a_servers_curl_stays_one_line_that_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: Path | None
) -> None:
    monkeypatch.setattr(terminal, "columns", lambda _stream: 80)
    serve._say_address("127.0.0.1", 8080, token)
    lines = capsys.readouterr().err.splitlines()
    (curl,) = (line for line in lines if "curl" in line)
    assert curl.endswith('"content": "Hello"}]}\'')
    assert [line for line in lines if len(line) > 80 and line != curl] == []
    assert len([line for line in lines if "ssh -L 8080:127.0.0.1:8080" in line]) == 1
