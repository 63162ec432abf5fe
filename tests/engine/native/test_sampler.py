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


def greedy(loaded, sampling: Sampling, before=(), resumed=()) -> int:
    """The token that follows one fixed token."""
    model, context = loaded
    context.drop(0)
    context.clear()
    context.add([504], 0, 0, want_logits=True)
    context.decode()
    sampler = Sampler(model, sampling, 0)
    sampler.accept(before, resumed)
    try:
        return sampler.sample(context, 0)
    finally:
        sampler.close()


def test_a_presence_penalty_avoids_what_the_answer_has_and_not_what_the_prompt_has(loaded):
    penalty = Sampling(temperature=0, presence_penalty=2.0)
    usual = greedy(loaded, Sampling(temperature=0))
    present = [usual] * 40

    assert greedy(loaded, penalty) == usual
    assert greedy(loaded, penalty, before=present) == usual
    close = Sampling(temperature=0, presence_penalty=2.0, repeat_penalty=2.0)
    assert greedy(loaded, close, before=present) != usual
    # Twice as far as the bound allows nothing: the answer's own tokens count.
    assert greedy(loaded, penalty, resumed=present) != usual or greedy(loaded, close, resumed=present) != usual
