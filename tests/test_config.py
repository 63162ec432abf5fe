"""Settings: what wins, what is refused, and that a refusal names the place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.config import FILE, Config, load, seconds
from edgechat.errors import StateError, UsageError


def write(directory, text: str | bytes) -> str:
    file = directory / FILE
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def test_without_file_and_variables_everything_is_a_default(tmp_path):
    assert load(tmp_path, {}) == Config()
    assert load(tmp_path / "absent", {}) == Config()
    assert load(tmp_path, {}).origins == {}


def test_the_environment_wins_over_the_file_and_a_flag_over_both(tmp_path):
    file = write(tmp_path, 'model = "a"\nn_ctx = 4096\ntemperature = 1\n')
    config = load(tmp_path, {"EDGECHAT_N_CTX": "8192", "EDGECHAT_THREADS": "3", "OTHER": "x"})
    assert (config.model, config.n_ctx, config.threads, config.temperature) == ("a", 8192, 3, 1.0)
    flagged = config.override("-m", model="b", n_ctx=None)
    assert (flagged.model, flagged.n_ctx) == ("b", 8192)
    assert flagged.origins == {
        "model": "-m",
        "n_ctx": "EDGECHAT_N_CTX",
        "temperature": file,
        "threads": "EDGECHAT_THREADS",
    }


def test_an_empty_variable_counts_as_unset(tmp_path):
    assert load(tmp_path, {"EDGECHAT_MODEL": "", "EDGECHAT_N_CTX": ""}) == Config()


def test_variables_that_move_directories_are_no_settings(tmp_path):
    env = {"EDGECHAT_HOME": "/x", "EDGECHAT_MODELS": "/y", "EDGECHAT_CUDA": "off", "EDGECHAT_BENCH_DIR": "/z"}
    assert load(tmp_path, env) == Config()


@pytest.mark.parametrize(("text", "tokens"), [("off", 0), ("0", 0), ("on", Config().read_ahead), ("300", 300)])
def test_reading_ahead_is_a_number_of_tokens_or_a_switch(text, tokens, tmp_path):
    assert load(tmp_path, {"EDGECHAT_READ_AHEAD": text}).read_ahead == tokens
    write(tmp_path, f"read_ahead = {text if text.isdecimal() else repr(text)}\n")
    assert load(tmp_path, {}).read_ahead == tokens


WRONG = [
    ("n_ctx", ['"4096"', "4096.5", "true", "0", "-1", "inf", "nan", "[]", "1979-05-27"]),
    ("threads", ["0", "-2", "1.5"]),
    ("max_tokens", ["0", '""']),
    ("temperature", ['"hot"', "nan", "inf", "-0.1", "false"]),
    ("model", ["5", "[]", "{}", "true"]),
    ("read_ahead", ['"2048"', "-1", "1.5", "true", '"yes"']),
    ("keep_alive", ['"soon"', "true", "1.5", "-2", '"-1h"']),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG for value in values])
def test_a_wrong_value_in_the_file_is_refused_with_file_and_name(name, value, tmp_path):
    file = write(tmp_path, f"{name} = {value}\n")
    with pytest.raises(UsageError) as caught:
        load(tmp_path, {})
    assert file in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EDGECHAT_N_CTX", "many"),
        ("EDGECHAT_N_CTX", "4096.5"),
        ("EDGECHAT_N_CTX", "255"),
        ("EDGECHAT_THREADS", "0"),
        ("EDGECHAT_TEMPERATURE", "nan"),
        ("EDGECHAT_TEMPERATURE", "inf"),
        ("EDGECHAT_OVERFLOW", "spill"),
        ("EDGECHAT_KEEP_ALIVE", "soon"),
        ("EDGECHAT_N_CTX", "9" * 5000),
        ("EDGECHAT_READ_AHEAD", "sometimes"),
        ("EDGECHAT_READ_AHEAD", "-1"),
    ],
)
def test_a_wrong_value_in_the_environment_is_refused_with_the_variable(variable, value, tmp_path):
    with pytest.raises(UsageError, match=variable):
        load(tmp_path, {variable: value})


@pytest.mark.parametrize(("key", "near"), [("n_ctxx", "n_ctx"), ("modle", "model"), ("temprature", "temperature")])
def test_an_unknown_key_is_answered_with_the_nearest_known_one(key, near, tmp_path):
    write(tmp_path, f"{key} = 1\n")
    with pytest.raises(UsageError, match=key) as caught:
        load(tmp_path, {})
    assert near in caught.value.hint
    with pytest.raises(UsageError, match=f"EDGECHAT_{key.upper()}"):
        load(tmp_path / "absent", {f"EDGECHAT_{key.upper()}": "1"})


def test_an_unknown_key_that_is_near_nothing_gets_the_whole_list(tmp_path):
    write(tmp_path, "zzzzzz = 1\n")
    with pytest.raises(UsageError) as caught:
        load(tmp_path, {})
    assert "keep_alive" in caught.value.hint
    assert "origins" not in caught.value.hint


def test_origins_cannot_be_set(tmp_path):
    write(tmp_path, 'origins = "x"\n')
    with pytest.raises(UsageError, match="origins"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    "damage", [b"model = ", b'model = "caf\xe9"', b"\xff\xfe", b"x = " + b"[" * 20_000, b"a = 1\na = 2"]
)
def test_a_damaged_file_is_refused_with_its_name(damage, tmp_path):
    file = write(tmp_path, damage)
    with pytest.raises(UsageError, match="not valid TOML") as caught:
        load(tmp_path, {})
    assert file in caught.value.message


def test_a_file_that_cannot_be_read_is_a_matter_of_state(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(StateError, match=FILE):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("5", 5),
        ("0", 0),
        ("-1", -1),
        (" 1.5H ", 5400),
        ("0s", 0),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "soon", "-2", "-1h", "1w", "nan", "inf", "1e400", "--1", "1 2"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="duration"):
        seconds(text)


@given(st.text(max_size=8))
def test_any_text_is_a_duration_or_refused(text):
    try:
        value = seconds(text)
    except UsageError:
        return
    assert value == -1 or 0 <= value < 1e14


@pytest.mark.parametrize(("value", "kept"), [("0", "0"), ("-1", "-1"), ("90", "90"), ('"2h"', "2h")])
def test_keep_alive_may_be_written_as_a_number(value, kept, tmp_path):
    write(tmp_path, f"keep_alive = {value}\n")
    assert load(tmp_path, {}).keep_alive == kept


def test_a_byte_order_mark_before_the_settings_is_no_error(tmp_path):
    write(tmp_path, b"\xef\xbb\xbfn_ctx = 1024\n")
    assert load(tmp_path, {}).n_ctx == 1024
