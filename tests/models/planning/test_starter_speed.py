"""An unknown board's constants from the starter alone, held against what two machines of this project reached."""

from __future__ import annotations

import pytest

from edgechat.models.planning.speed_model import Work, decode_seconds, prefill_seconds
from edgechat.models.planning.starter_speed import STARTER, STARTER_PROMPT, infer

KINDS = ["avx2", "avx512", "dotprod", "neon", "scalar", "cuda", "metal", "unheard-of"]
DECODE, PREFILL = 0.20, 0.30
QWEN_15B = Work(
    read_bytes=980e6,
    params=1_310_195_712,
    kv_bytes=28_672,
    attention=172_032,
    activations=293_888,
    types=(("q4_k", 0.849), ("q6_k", 0.151)),
)
QWEN_05B = Work(
    read_bytes=391.9e6,
    params=357_826_560,
    kv_bytes=12_288,
    attention=86_016,
    activations=138_240,
    types=(("q4_k", 0.146), ("q5_0", 0.704), ("q6_k", 0.146), ("q8_0", 0.004)),
)


@pytest.mark.parametrize("arithmetic", KINDS)
def test_the_starter_itself_is_predicted_as_it_was_measured(arithmetic):
    on = infer(60.0, 120.0, arithmetic=arithmetic)

    assert 1 / decode_seconds(STARTER, on.likely, STARTER_PROMPT) == pytest.approx(60.0)
    assert 1 / prefill_seconds(STARTER, on.likely, STARTER_PROMPT) == pytest.approx(120.0)


@pytest.mark.parametrize("arithmetic", KINDS)
@pytest.mark.parametrize("work", [QWEN_05B, QWEN_15B], ids=["0.5B", "1.5B"])
def test_what_a_recommendation_relies_on_is_not_above_what_is_likely(arithmetic, work):
    on = infer(60.0, 120.0, arithmetic=arithmetic)

    assert decode_seconds(work, on.careful) >= decode_seconds(work, on.likely)


def test_twice_the_starter_is_twice_the_speed():
    one, two = (infer(60.0 * each, 120.0 * each, arithmetic="avx2").likely for each in (1, 2))

    assert decode_seconds(QWEN_15B, one) == pytest.approx(2 * decode_seconds(QWEN_15B, two))
    assert prefill_seconds(QWEN_15B, one) == pytest.approx(2 * prefill_seconds(QWEN_15B, two))


@pytest.mark.parametrize(
    ("work", "starter", "decode", "prefill"),
    [(QWEN_05B, (56.3, 129.5), 20.9, 64.3), (QWEN_15B, (62.1, 120.1), 10.2, 26.2)],
    ids=["0.5B", "1.5B"],
)
def test_a_machine_with_avx2_is_predicted_as_it_was_measured(work, starter, decode, prefill):
    """One thread, medians of five rounds of scripts/measure/starter_prediction.py, 1 December 2026."""
    on = infer(*starter, arithmetic="avx2").likely

    assert 1 / decode_seconds(work, on, STARTER_PROMPT) == pytest.approx(decode, rel=DECODE)
    assert 1 / prefill_seconds(work, on, STARTER_PROMPT) == pytest.approx(prefill, rel=PREFILL)


@pytest.mark.parametrize(
    ("work", "decode", "prefill"), [(QWEN_05B, 55.0, 307.5), (QWEN_15B, 30.0, 273.0)], ids=["0.5B", "1.5B"]
)
def test_a_machine_with_avx512_is_predicted_as_it_was_measured(work, decode, prefill):
    """docs/benchmarks.md, chat, and docs/fit.md, "Which model": two threads, 21 November 2026."""
    on = infer(165.0, 500.8, arithmetic="avx512").likely

    assert 1 / decode_seconds(work, on, STARTER_PROMPT) == pytest.approx(decode, rel=DECODE)
    assert 1 / prefill_seconds(work, on, STARTER_PROMPT) == pytest.approx(prefill, rel=PREFILL)


def test_a_board_without_speed_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        infer(0.0, 120.0, arithmetic="avx2")
