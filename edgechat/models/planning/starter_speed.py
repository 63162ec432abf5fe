"""The speed constants of an unknown board, from a few seconds of the starter model (SmolLM2-135M Q4_1). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgechat.models.planning.speed_model import Arithmetic, Machine, Work, decode_seconds, prefill_seconds
from edgechat.models.planning.speed_table import ARITHMETIC

_CAREFUL = Arithmetic(attention=0.0)
_KINDS = ARITHMETIC | {
    # Relative to the starter's Q4_1: one 2-core machine each (measured.md; fit.md and benchmarks.md).
    "avx2": Arithmetic(types={"q4_k": 1.4, "q6_k": 1.2}),
    "avx512": Arithmetic(types={"q4_k": 2.5, "q6_k": 1.5}),
}

STARTER = Work(read_bytes=96.6e6, params=106_203_456, kv_bytes=23_040, attention=69_120, types=(("q4_1", 1.0),))
"""SmolLM2-135M-Instruct Q4_1: 98,362,432 bytes less 1.78 MB of metadata; 30 layers, 9 heads of 64."""

STARTER_PROMPT = 256
"""Tokens of the prompt that it is measured with."""
_FIXED_SHARE = {"avx2": 0.40, "avx512": 0.40, "metal": 0.45, "cuda": 0.40, "dotprod": 0.0, "neon": 0.0}
"""Share of the starter's decode step that a larger model does not take longer for; what is not listed: 0. x86: chosen
so that two 2-core machines of this project (124, 41, 21.5 and about 165, 55, 30 tok/s with the starter, 0.5B and 1.5B)
come out within 20 %; GPUs by the fitted fixed times; ARM: smaller than what rows of one board differ by."""
_SETUP_SHARE = {"avx2": 0.60, "avx512": 0.60, "dotprod": 0.20}
"""The same of its prefill, beyond attention; x86 from the same two machines, dotprod assumed."""


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
        decode_tps: of ``starter``, at next to no depth.
        prefill_tps: of ``starter``, at a prompt of ``prompt`` tokens.
        arithmetic: ``avx2``, ``avx512``, ``dotprod``, ``neon``, ``cuda``, ``metal``; anything else is taken carefully.
        prompt: as above.
        starter: what was measured.

    Raises:
        ValueError: a speed is not above zero.
    """
    if decode_tps <= 0 or prefill_tps <= 0:
        raise ValueError("speeds must be above zero")
    how = _KINDS.get(arithmetic, _CAREFUL)
    step, token = 1 / decode_tps, 1 / prefill_tps
    fixed, setup = _FIXED_SHARE.get(arithmetic, 0.0) * step, _SETUP_SHARE.get(arithmetic, 0.0) * token
    unit = Machine(bandwidth=1.0, fixed_ms=0.0, gflops=1.0, arithmetic=how, basis="")
    likely = Machine(
        bandwidth=decode_seconds(starter, unit) / (step - fixed),
        fixed_ms=fixed * 1e3,
        gflops=prefill_seconds(starter, unit, prompt) / (token - setup),
        arithmetic=how,
        basis="scaled: the starter measured here",
        setup_ms=setup * 1e3,
    )
    least = replace(unit, arithmetic=_CAREFUL, basis="assumed: the starter measured here, nothing gained by size")
    return Inferred(
        likely,
        replace(
            least,
            bandwidth=decode_seconds(starter, least) / step,
            gflops=prefill_seconds(starter, least, prompt) / token,
        ),
    )
