"""The speed constants of an unknown board, from a few seconds of the starter model (SmolLM2-135M Q4_1). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgechat.models.planning.speed_model import Arithmetic, Machine, Work, decode_seconds, prefill_seconds
from edgechat.models.planning.speed_table import ARITHMETIC

_FITTED = ARITHMETIC["avx2"]
_UNKNOWN = Arithmetic(attention=0.0, kinds=_FITTED.kinds, slower=_FITTED.slower)
_KINDS = ARITHMETIC | {
    # Relative to the starter's Q4_1. avx2: files of one shape in each type, beside the starter (docs/fit.md). avx512:
    # what docs/benchmarks.md has of the starter, a 0.5B and a 1.5B.
    "avx2": Arithmetic(
        types={"q4_0": 1.9, "q5_0": 1.6, "q8_0": 2.5, "q4_k": 3.3, "q5_k": 3.3, "q6_k": 2.8},
        kinds={**_FITTED.kinds, "deltanet": 1.5},
        slower={**_FITTED.slower, "q4_0": 1.05, "q5_0": 1.10, "q8_0": 0.68, "q4_k": 0.90, "q5_k": 0.95, "q6_k": 0.74},
        attention=2.0,
        context=4.9,
    ),
    "avx512": Arithmetic(
        types={"q4_0": 1.9, "q5_0": 1.7, "q8_0": 2.5, "q4_k": 8.0, "q5_k": 8.0, "q6_k": 5.0},
        kinds=_FITTED.kinds,
        slower=_FITTED.slower,
        attention=2.0,
    ),
}

STARTER = Work(
    read_bytes=96.6e6,
    params=106_203_456,
    kv_bytes=23_040,
    attention=69_120,
    activations=63_360,
    types=(("q4_1", 1.0),),
)
"""SmolLM2-135M-Instruct Q4_1: 98,362,432 bytes less 1.78 MB of metadata; 30 layers of 576 and 1,536, 9 heads of 64."""

STARTER_PROMPT = 256
"""Tokens of the prompt that it is measured with."""
_FIXED_SHARE = {"avx2": 0.20, "avx512": 0.40, "metal": 0.45, "cuda": 0.40, "dotprod": 0.0, "neon": 0.0}
"""Share of the starter's decode step that a larger model does not take longer for; what is not listed: 0. GPUs by the
fitted fixed times; ARM: smaller than what rows of one board differ by."""
_ACTIVATION_SHARE = {"avx2": 0.25, "avx512": 0.10, "dotprod": 0.20}
"""Share of its prefill in activations, beyond attention."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """An unknown board, from the starter's speeds alone."""

    likely: Machine
    careful: Machine
    """What a recommendation may rely on: no time is fixed, no type is faster than the starter's."""


def infer(
    decode_tps: float, prefill_tps: float, *, arithmetic: str, prompt: int = STARTER_PROMPT, starter: Work = STARTER
) -> Inferred:
    """Constants of an unknown board from a few seconds of the starter model.

    One speed cannot tell bandwidth from fixed time, so a share is assumed (``_FIXED_SHARE``). The starter is small:
    where the last level cache holds 98 MB, or where a processor boosts for seconds only, larger models are slower.

    Args:
        decode_tps: of ``starter``, behind ``prompt`` tokens.
        prefill_tps: of ``starter``, of a prompt of ``prompt`` tokens.
        arithmetic: ``avx2``, ``avx512``, ``dotprod``, ``neon``, ``cuda``, ``metal``; anything else is taken carefully.
        prompt: as above.
        starter: what was measured.

    Raises:
        ValueError: a speed is not above zero.
    """
    if decode_tps <= 0 or prefill_tps <= 0:
        raise ValueError("speeds must be above zero")
    how = _KINDS.get(arithmetic, _UNKNOWN)
    step, token = 1 / decode_tps, 1 / prefill_tps
    fixed, activations = _FIXED_SHARE.get(arithmetic, 0.0) * step, _ACTIVATION_SHARE.get(arithmetic, 0.0) * token
    unit = Machine(bandwidth=1.0, fixed_ms=0.0, gflops=1.0, arithmetic=how, basis="")
    likely = Machine(
        bandwidth=decode_seconds(starter, unit, prompt) / (step - fixed),
        fixed_ms=fixed * 1e3,
        gflops=prefill_seconds(starter, unit, prompt) / (token - activations),
        arithmetic=how,
        basis="scaled: the starter measured here",
        activation_ns=activations / starter.activations * 1e9,
    )
    slower = {name: max(1.0, factor) for name, factor in how.slower.items()}
    careful = Arithmetic(attention=0.0, kinds=how.kinds, slower=slower, context=how.context)
    least = replace(unit, arithmetic=careful, basis="assumed: the starter measured here, nothing gained by size")
    return Inferred(
        likely,
        replace(
            least,
            bandwidth=decode_seconds(starter, least, prompt) / step,
            gflops=prefill_seconds(starter, least, prompt) / token,
        ),
    )
