"""Penalties of the sampler chain, on the real starter model."""

from __future__ import annotations

import pytest

from edgechat.engine.native.context import Context
from edgechat.engine.native.model import Model
from edgechat.engine.native.sampler import Sampler
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.store.installed import starter
from edgechat.sampling import Sampling

SETTINGS = LoadSettings(256, n_batch=64, n_ubatch=64, n_seq_max=1, n_outputs_max=1)


@pytest.fixture(scope="module")
def loaded():
    found = starter()
    assert found is not None
    model = Model(found.path, SETTINGS)
    return model, Context(model, SETTINGS)


def greedy(loaded, first: int, sampling: Sampling, before=(), resumed=()) -> int:
    """The token that follows ``first``."""
    model, context = loaded
    context.drop(0)
    context.clear()
    context.add([first], 0, 0, want_logits=True)
    context.decode()
    sampler = Sampler(model, sampling, 0)
    sampler.accept(before, resumed)
    try:
        return sampler.sample(context, 0)
    finally:
        sampler.close()


def test_a_presence_penalty_avoids_what_the_answer_has_and_not_what_the_prompt_has(loaded):
    penalty = Sampling(temperature=0, presence_penalty=2.0)
    avoided = 0
    for first in range(500, 520):
        usual = greedy(loaded, first, Sampling(temperature=0))
        assert greedy(loaded, first, penalty) == usual
        assert greedy(loaded, first, penalty, before=[usual] * 40) == usual
        avoided += greedy(loaded, first, penalty, resumed=[usual] * 40) != usual

    # Where the second-best token is less than 2 behind.
    assert avoided > 0
