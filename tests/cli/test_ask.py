"""``edgechat ask`` on the real engine and the real starter model, as a person and a script use it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Cli

pytestmark = pytest.mark.engine

STATS = [
    "model", "quant", "prompt_tokens", "cached_tokens", "completion_tokens", "forced_tokens", "drafted_tokens",
    "accepted_tokens", "load_s", "ttft_s", "prefill_tps", "decode_tps", "total_s", "peak_rss_bytes", "finish_reason",
    "stepped_down_from",
]  # fmt: skip


def stats_of(stderr: str) -> dict[str, object]:
    line = next(line for line in stderr.splitlines() if line.startswith("{"))
    stats: dict[str, object] = json.loads(line)
    return stats


def test_an_answer_goes_to_stdout_and_everything_else_to_stderr(cli: Cli) -> None:
    done = cli("ask", "Name one color.", "--temp", "0", "-n", "12", "--stats=json")
    assert done.returncode == 0
    assert done.stdout.endswith("\n")
    assert done.stdout.strip()
    stats = stats_of(done.stderr)
    assert [name for name in STATS if name not in stats] == []
    assert stats["model"] == "smollm2-135m-instruct"
    assert stats["completion_tokens"] == 12
    assert stats["finish_reason"] == "length"
    assert "\x1b" not in done.stdout + done.stderr


def test_greedy_answers_are_the_same_from_a_new_and_a_warm_engine(cli: Cli) -> None:
    first = cli("ask", "Tell me about the sea.", "--temp", "0", "-n", "40")
    second = cli("ask", "Tell me about the sea.", "--temp", "0", "-n", "40", "--stats=json")
    assert first.stdout == second.stdout
    # The second one found the prompt in the cache, all but the token whose logits are needed.
    stats = stats_of(second.stderr)
    assert stats["cached_tokens"] == int(str(stats["prompt_tokens"])) - 1


def test_a_question_is_found_whole_until_another_one_is_asked(cli: Cli) -> None:
    """What only its asker could follow up must not be looked at by every token of every later answer."""
    ask = ("ask", "--temp", "0", "-n", "4", "--stats=json")

    def cached(question: str) -> int:
        stats = stats_of(cli(*ask, question).stderr)
        return int(str(stats["prompt_tokens"])) - int(str(stats["cached_tokens"]))

    sea, hills = "Tell me about the sea. " * 8, "What are the hills made of? " * 8
    whole = cached(sea)
    assert cached(sea) == 1
    assert cached(hills) > 40
    assert cached(sea) > 40
    assert cached(sea) < whole, "the template's opening words are still there"


def test_a_seed_makes_sampling_repeatable(cli: Cli) -> None:
    ask = ("ask", "Invent a name.", "--temp", "1.5", "-n", "24", "--seed")
    assert cli(*ask, "7").stdout == cli(*ask, "7").stdout
    assert cli(*ask, "7").stdout != cli(*ask, "8").stdout


def test_the_envelope_is_one_json_object(cli: Cli) -> None:
    answer = cli.json("ask", "Name one color.", "--temp", "0", "-n", "8", "--json")
    assert set(answer) >= {"answer", "model", "quant", "finish_reason", "usage", "timing"}
    assert answer["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["answer"] in cli("ask", "Name one color.", "--temp", "0", "-n", "8").stdout


def test_stdin_and_files_are_appended_to_the_prompt(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("the pump is red")
    alone = cli.json("ask", "What is it?", "-n", "1", "--json")["usage"]["prompt_tokens"]
    piped = cli("ask", "What is it?", "-n", "1", "--json", stdin="the valve is blue\n")
    assert json.loads(piped.stdout)["usage"]["prompt_tokens"] > alone
    filed = cli.json("ask", "What is it?", "-n", "1", "--json", "-f", str(tmp_path / "note.txt"))
    assert filed["usage"]["prompt_tokens"] > alone
    only_stdin = cli("ask", "-n", "1", stdin="Say hi.")
    assert only_stdin.returncode == 0


def test_a_byte_that_is_not_utf8_is_named_with_its_place(cli: Cli) -> None:
    done = cli("ask", "What is this?", stdin=b"first line\nbad \x93\xfa here")
    assert done.returncode == 4
    assert "byte 0x93 at offset 15 (line 2)" in done.stderr
    assert "iconv" in done.stderr
    assert done.stdout == ""


def test_a_missing_disk_of_models_is_said_even_while_an_engine_answers(cli: Cli, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("EDGECHAT_MODELS", str(tmp_path / "disk"))
    assert cli("ask", "-n", "1", "hi").returncode == 0
    (tmp_path / "disk").rmdir()
    done = cli("ask", "-n", "1", "hi")
    assert (done.returncode, done.stdout) == (8, "")
    assert "Mount that disk" in done.stderr


def test_a_context_beyond_the_models_own_is_said_and_never_advised(cli: Cli) -> None:
    done = cli("ask", "-n", "1", "hi", "--ctx", "9000")
    assert done.returncode == 0
    assert "n_ctx 8192: the model was trained on no more." in done.stderr
    refused = cli("ask", "word " * 9000, "--ctx", "9000")
    assert refused.returncode == 4
    assert "trained on no more" in refused.stderr
    assert "--ctx" not in refused.stderr


def test_no_question_is_a_usage_error(cli: Cli) -> None:
    done = cli("ask")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no question" in done.stderr


@pytest.mark.parametrize("bad", [("--temp", "9"), ("--top-p", "0"), ("--min-p", "1"), ("--repeat-penalty", "9")])
def test_values_out_of_range_are_refused_with_the_range(cli: Cli, bad: tuple[str, str]) -> None:
    done = cli("ask", "hi", *bad)
    assert done.returncode == 4
    assert "it must be" in done.stderr


def test_a_missing_model_is_exit_3_and_a_bad_file_exit_4(cli: Cli, tmp_path: Path) -> None:
    assert cli("ask", "-m", "no-such-model", "hi").returncode == 3
    assert cli("ask", "-m", str(tmp_path / "absent.gguf"), "hi").returncode == 3
    (tmp_path / "page.gguf").write_text("<html>not a model</html>")
    done = cli("ask", "-m", str(tmp_path / "page.gguf"), "hi")
    assert done.returncode == 4
    assert "page.gguf" in done.stderr
    # The failed try leaves nothing behind that would stop the next answer.
    assert cli("ask", "-n", "1", "hi").returncode == 0


def test_any_gguf_file_answers(cli: Cli, starter_file: Path, tmp_path: Path) -> None:
    own = tmp_path / "My Model.gguf"
    own.symlink_to(starter_file)
    answer = cli.json("ask", "-m", str(own), "-n", "2", "--json", "hi")
    assert answer["model"] == "my model"


def test_the_starter_says_what_it_is_and_a_foreign_script_is_told_first(cli: Cli) -> None:
    done = cli("ask", "日本の首都はどこですか", "-n", "4")
    notes = done.stderr.splitlines()
    assert sum("English only" in line for line in notes) == 1
    assert any("does not know this script (Japanese)" in line and "models pull" in line for line in notes)
    assert "script" not in cli("ask", "What is the capital of Japan?", "-n", "2").stderr


def test_characters_split_over_tokens_come_out_whole(cli: Cli) -> None:
    # Emoji and CJK take several of this vocabulary's tokens each; U+FFFD would betray a cut character.
    done = cli("ask", "Repeat exactly: 🙂 東京 🚀 éàü", "--temp", "0", "-n", "60")
    assert "�" not in done.stdout


def test_no_stream_prints_the_same_text(cli: Cli) -> None:
    ask = ("ask", "Name a river.", "--temp", "0", "-n", "16")
    assert cli(*ask).stdout == cli(*ask, "--no-stream").stdout


def test_a_time_limit_ends_the_answer_with_what_there_is(cli: Cli) -> None:
    cli("ask", "-n", "1", "hi")
    # Greedily decoded, the starter model never comes to an end with this one.
    done = cli("ask", "What is the capital of France?", "--temp", "0", "-n", "3000", "--timeout", "2")
    assert done.returncode == 5
    assert done.stdout.strip()
    assert "--timeout" in done.stderr


def test_a_closed_pipe_ends_quietly(cli: Cli) -> None:
    command = " ".join(f"'{part}'" for part in cli.command("ask", "Count to fifty.", "-n", "120"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 5"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert len(done.stdout) == 5
    assert "Traceback" not in done.stderr
    assert "rror" not in done.stderr


def test_on_a_terminal_progress_leaves_no_trace_and_no_color_is_respected(cli: Cli) -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    child = subprocess.Popen(
        cli.command("ask", "Name one color.", "-n", "5"),
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
        env=env,
    )
    os.close(follower)
    out, _ = child.communicate(timeout=90)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    assert child.returncode == 0
    assert b"\x1b" not in out
    # Only "erase to the end of the line" may appear; and what was drawn last was erased.
    assert set(re.findall(rb"\x1b\[[0-9;]*[A-Za-z]", shown)) <= {b"\x1b[K"}


def test_a_word_behind_stats_that_is_no_format_is_the_question(cli: Cli) -> None:
    done = cli("ask", "-n", "4", "--stats", "Name one color.")
    assert done.returncode == 0
    assert done.stdout.strip()
    assert "tok/s" in done.stderr
    assert cli("ask", "Name one color.", "--stats", "yaml").returncode == 2


@pytest.mark.parametrize("arguments", [(b"caf\xe9",), (b"-s", b"caf\xe9", b"Name one color.")])
def test_an_argument_that_is_not_utf8_is_refused_with_its_place(cli: Cli, arguments: tuple[bytes, ...]) -> None:
    command = [os.fsencode(word) for word in cli.command("ask", "-n", "4")]
    done = subprocess.run(
        [*command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 4
    assert b"is not UTF-8: byte 0xe9 after 3 characters" in done.stderr


def test_a_question_that_begins_with_a_dash_is_told_how_to_be_asked(cli: Cli) -> None:
    done = cli("ask", "- list three")
    assert done.returncode == 2
    assert 'edgechat ask -- "- list three"' in done.stderr


def test_text_is_all_that_the_expression_lets_through(cli: Cli) -> None:
    done = cli("ask", "Is ice cold?", "--temp", "0", "--text", "(yes|no), because [a-z ]{3,40}", "-n", "60")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert re.fullmatch("(yes|no), because [a-z ]{3,40}\n", done.stdout)


def test_text_that_is_cut_off_is_no_answer(cli: Cli) -> None:
    done = cli("ask", "Count.", "--temp", "0", "--text", "[0-9]{200}", "-n", "5")
    assert (done.returncode, done.stdout) == (5, "")
    assert "cut before it matched --text" in done.stderr


def test_an_answer_ends_before_its_stop_text(cli: Cli) -> None:
    whole = cli("ask", "Name three colors, one a line.", "--temp", "0", "-n", "30").stdout
    assert "\n" in whole.strip(), "the starter writes no second line: take another question"
    done = cli("ask", "Name three colors, one a line.", "--temp", "0", "-n", "30", "--stop", "\n")
    assert (done.returncode, done.stdout) == (0, whole.split("\n")[0] + "\n")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--schema", "any", "--stop", "x"], "--schema asks for JSON and --stop for text"),
        (["--schema", "any", "--text", "x"], "--schema asks for JSON and --text for text"),
        (["--text", ""], "--text is empty"),
        (["--stop", ""], "--stop is empty"),
    ],
)
def test_forms_of_an_answer_that_contradict_are_refused(cli: Cli, options: list[str], fault: str) -> None:
    done = cli("ask", "Hello", *options)
    assert done.returncode == 2
    assert fault in done.stderr


def test_an_expression_that_cannot_be_kept_to_is_invalid_input(cli: Cli) -> None:
    done = cli("ask", "Hello", "--text", "(yes")
    assert done.returncode == 4
    assert "constraint cannot be enforced" in done.stderr
