"""KV cells kept on disk: found again after a restart, never for another model, never damaged, never without bound."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import gguf
import pytest

from edgechat.engine.kv_cache.disk_cache import MAX_UNSYNCED, DigestAhead, PrefixCache, model_key, sampled_digest
from tests.cli.test_ask import stats_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths
    from tests.command import Cli

RULES = "You are the assistant of a factory. Follow the rules of the line and be brief. " * 10
TOKENS = [1, 2, 3]


def saving(content: bytes) -> object:
    def save(path: Path) -> bool:
        path.write_bytes(content)
        return True

    return save


def restoring(path: Path) -> list[int]:
    return list(path.read_bytes())


def write(prefixes: PrefixCache, tokens: list[int], content: bytes) -> Path:
    file = prefixes.file_of(tokens)
    prefixes.write(file, saving(content))  # type: ignore[arg-type]
    return file


def test_what_was_written_is_read_by_the_same_model_only(tmp_path: Path) -> None:
    ours, other = PrefixCache(tmp_path, "model a"), PrefixCache(tmp_path, "model b")
    write(ours, TOKENS, bytes(TOKENS))
    assert ours.read(ours.file_of(TOKENS), restoring) == TOKENS
    assert ours.read(ours.file_of([1, 2, 4]), restoring) == []
    assert other.read(other.file_of(TOKENS), restoring) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "no seal", "refused"])
def test_a_damaged_file_is_not_restored_and_does_not_stay(tmp_path: Path, damage: str) -> None:
    prefixes = PrefixCache(tmp_path, "model")
    file = write(prefixes, TOKENS, b"cells of a prefix")
    if damage == "flip":
        file.write_bytes(b"cells of A prefix")
    elif damage == "cut":
        os.truncate(file, 5)
    elif damage == "no seal":
        file.with_suffix(".sha256").unlink()
    restored: list[Path] = []

    def restore(path: Path) -> list[int]:
        restored.append(path)
        return []

    assert prefixes.read(file, restore) == []
    assert bool(restored) == (damage == "refused")
    if damage != "no seal":
        assert not file.exists()


def test_what_was_checked_while_the_model_loaded_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(PrefixCache(tmp_path, "model"), TOKENS, bytes(TOKENS))
    ahead = DigestAhead(tmp_path)
    assert ahead.digest(file) == hashlib.sha256(bytes(TOKENS)).hexdigest()
    monkeypatch.setattr("edgechat.engine.kv_cache.disk_cache._digest", lambda _file: "read again")
    assert PrefixCache(tmp_path, "model", ahead=ahead).read(file, restoring) == TOKENS


@pytest.mark.parametrize("change", ["content", "another"])
def test_a_file_that_changed_since_it_was_checked_is_checked_again(tmp_path: Path, change: str) -> None:
    file = write(PrefixCache(tmp_path, "model"), TOKENS, b"cells of a prefix")
    ahead, seen = DigestAhead(tmp_path), file.stat().st_mtime_ns
    assert ahead.digest(file)
    damaged = tmp_path / "damaged" if change == "another" else file
    damaged.write_bytes(b"cells of A prefix")
    os.utime(damaged, ns=(seen, seen + (change == "content")))
    damaged.replace(file)
    assert PrefixCache(tmp_path, "model", ahead=ahead).read(file, restoring) == []


def test_a_directory_without_prefixes_has_none_to_check(tmp_path: Path) -> None:
    file = write(PrefixCache(tmp_path / "later", "model"), TOKENS, bytes(TOKENS))
    assert (
        PrefixCache(tmp_path / "later", "model", ahead=DigestAhead(tmp_path / "none")).read(file, restoring) == TOKENS
    )


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    prefixes = PrefixCache(tmp_path, "model", limit=250)
    files = [write(prefixes, [n], bytes(100)) for n in range(2)]
    os.utime(files[0], (1, 1))
    os.utime(files[1], (2, 2))
    assert prefixes.read(files[0], restoring)  # used again, so it is no longer the oldest
    third = write(prefixes, [9], bytes(100))
    assert [file.exists() for file in (*files, third)] == [True, False, True]


def test_what_is_set_aside_in_a_step_is_kept_when_nobody_waits(tmp_path: Path) -> None:
    prefixes = PrefixCache(tmp_path, "model")
    files = [prefixes.file_of([n]) for n in range(MAX_UNSYNCED + 2)]
    for n, file in enumerate(files):
        prefixes.write_unsynced(file, saving(bytes([n, n])))  # type: ignore[arg-type]
    assert not any(file.exists() for file in files)
    assert [prefixes.read(file, restoring) for file in files] == [[]] * len(files)
    prefixes.sync_unsynced()
    # What comes while there is no rest is bounded; what repeats comes again.
    assert [prefixes.read(file, restoring) for file in files] == [[n, n] for n in range(MAX_UNSYNCED)] + [[], []]
    prefixes.write_unsynced(files[-1], saving(b"x"))  # type: ignore[arg-type]
    prefixes.sync_unsynced()
    assert prefixes.read(files[-1], restoring) == [ord("x")]
    assert not list(tmp_path.glob("*.new"))


def test_what_a_dead_engine_left_unfinished_goes(tmp_path: Path) -> None:
    (tmp_path / "abc.1.new").write_bytes(b"half")
    os.utime(tmp_path / "abc.1.new", (1, 1))
    write(PrefixCache(tmp_path, "model"), TOKENS, b"cells")
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.process
def test_only_the_last_conversation_of_a_slot_waits_to_be_kept() -> None:
    """Where the engine never rests, those before it once gathered for ever."""
    # llama.cpp must not be loaded into the process of a test.
    child = """
import sys
from types import SimpleNamespace as N
from edgechat.engine.decoding.scheduler import Scheduler
context = N(n_ctx=1000, n_seq_max=2)
choice = N(plan=N(settings=N(checkpoint_bytes=0)))
model = N(is_rewindable=True, is_recurrent=False, n_window=0)
scheduler = Scheduler(N(context=context, model=model, spare_memory=None, choice=choice))
for n in range(50):
    grant = scheduler._allocator.admit((n, 1, 2), 10)
    asked = N(keep=f"chat {n}", messages=(), prefill_only=False)
    held = N(slot=grant.slot, n_past=3, request=asked, extra_cells=0, tokens=lambda a, b, n=n: [n, 1, 2])
    held.reader = N(keeps=False)
    scheduler.release(held)
sys.stdout.write(f"{list(scheduler._unsaved)}")
"""
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['chat 48', 'chat 49']"


def test_a_directory_that_cannot_be_written_costs_nothing_but_the_prefix(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file")
    prefixes = PrefixCache(tmp_path / "in the way" / "prefixes", "model")
    file = write(prefixes, TOKENS, b"cells")
    assert prefixes.read(file, restoring) == []


def test_a_replaced_model_file_has_another_digest(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(bytes(1_000_000))
    before = sampled_digest(model)
    facts = model.stat()
    data = bytearray(1_000_000)
    data[500_000] = 1
    model.write_bytes(data)
    os.utime(model, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert sampled_digest(model) != before


@pytest.mark.parametrize(
    "changed", [{"projector": "b"}, {"projector": ""}, {"has_long_rope": True}, {"kv_type": "f16"}]
)
def test_cells_of_another_projector_or_of_other_rope_factors_are_not_found(changed: dict[str, Any]) -> None:
    facts: dict[str, Any] = {"build": "1", "kv_type": "q8_0", "flash_attn": True, "projector": "a"}
    assert model_key("model", **facts) == model_key("model", **facts)
    assert model_key("model", **facts) != model_key("model", **{**facts, **changed})


@pytest.mark.process
def test_a_longer_context_has_other_rope_factors_only_where_the_header_says_so(tmp_path: Path) -> None:
    files = {4096: tmp_path / "long.gguf", None: tmp_path / "plain.gguf"}
    for original, file in files.items():
        writer = gguf.GGUFWriter(file, "llama")
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(1)
        if original is not None:
            writer.add_rope_scaling_orig_ctx_len(original)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
    # llama.cpp must not be loaded into the process of a test.
    child = (
        "import sys; from tests.engine.text.vocabulary_child import vocabulary\n"
        "for file in sys.argv[1:]: sys.stdout.write(f'{[vocabulary(file).has_long_rope(n) for n in (4096, 4352)]} ')"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, *map(str, files.values())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[False, True] [False, False] "


@pytest.mark.engine
def test_a_restarted_engine_takes_the_instructions_from_disk(cli: Cli, paths: Paths) -> None:
    ask = ("ask", "-s", RULES, "--temp", "0", "-n", "24", "--stats=json")
    first = cli(*ask, "What is the first rule?")
    assert stats_of(first.stderr)["cached_tokens"] == 0
    cli("stop")
    again = cli(*ask, "What is the first rule?")
    stats = stats_of(again.stderr)
    assert int(str(stats["cached_tokens"])) >= 0.8 * int(str(stats["prompt_tokens"]))
    assert again.stdout == first.stdout
    cli("stop")
    # Another question over the same instructions starts from the same cells; a damaged file is computed again.
    other = cli(*ask, "Who may stop the line?")
    assert int(str(stats_of(other.stderr)["cached_tokens"])) > 100
    cli("stop")
    (kept,) = (paths.cache / "prefixes").glob("*.kv")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    repaired = cli(*ask, "What is the first rule?")
    assert stats_of(repaired.stderr)["cached_tokens"] == 0
    assert repaired.stdout == first.stdout
