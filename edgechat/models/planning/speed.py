"""The expected speed of a plan: measured here with this file, else predicted. Pure.

``speed_model.py`` predicts from a model's work (``model_work.py``) and a board's constants (``board_speed.py``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.models.planning.board_speed import BoardSpeed, cpu_speed, device_speed
from edgechat.models.planning.model_work import model_work
from edgechat.models.planning.plan import Estimate
from edgechat.models.planning.speed_model import PROMPT, SPREAD, decode_seconds, prefill_seconds

if TYPE_CHECKING:
    from edgechat.board.board import Accelerator, Board
    from edgechat.models.gguf.shape import ModelShape, WeightBytes
    from edgechat.models.planning.calibration import Measurement
    from edgechat.models.planning.plan import LoadSettings
    from edgechat.models.planning.speed_model import Machine, Work

QUESTION_TOKENS, PAGE_TOKENS = 100, 1000
"""What a person waits for: a short question, and a page of text."""
NOTHING_KNOWN = Estimate(None, None, "unknown")
"""Of a model that does not fit: its weights are read from storage again and again, whatever the board's speed."""
_BASES = {"fitted": "published", "few": "published", "scaled": "bandwidth", "assumed": "assumed"}


def estimate(
    board: Board,
    shape: ModelShape,
    weights: WeightBytes,
    settings: LoadSettings,
    *,
    measured: Measurement | None = None,
    device: Accelerator | None = None,
) -> Estimate:
    """Estimate the speed of one plan that fits.

    A calibration (``measured``) is taken as it is.
    """
    if measured is not None:
        read, wrote = 1 / measured.prefill_tps, 1 / measured.decode_tps
        return Estimate(
            measured.prefill_tps,
            measured.decode_tps,
            "calibrated",
            careful_tps=measured.decode_tps,
            question_s=QUESTION_TOKENS * read + wrote,
            page_s=PAGE_TOKENS * read + wrote,
        )
    work = model_work(shape, weights, settings)
    parts = _parts(board, shape, settings, device, work)
    likely = [(part, on.likely) for part, on in parts]
    decode = sum(decode_seconds(part, on) for part, on in likely)
    basis = min((on.basis for _, on in likely), key=lambda each: -list(SPREAD).index(_word(each)))
    return Estimate(
        _rounded(1 / sum(prefill_seconds(part, on, PROMPT) for part, on in likely)),
        _rounded(1 / decode),
        "starter" if "starter" in basis else _BASES[_word(basis)],
        careful_tps=_careful(parts),
        question_s=_prompt_seconds(likely, QUESTION_TOKENS),
        page_s=_prompt_seconds(likely, PAGE_TOKENS),
        rests_on=basis,
    )


def _careful(parts: list[tuple[Work, BoardSpeed]]) -> float:
    """The decode speed that a recommendation relies on."""
    return 1 / sum(decode_seconds(part, on.careful) * (on.mixtures if part.kind == "moe" else 1) for part, on in parts)


def _parts(
    board: Board, shape: ModelShape, settings: LoadSettings, device: Accelerator | None, work: Work
) -> list[tuple[Work, BoardSpeed]]:
    """The work on the device and on the processor; layers that do not fit on the device stay with the processor."""
    if device is None or not settings.n_gpu_layers:
        return [(work, cpu_speed(board))]
    on_device = device_speed(board, device)
    share = min(1.0, settings.n_gpu_layers / (shape.n_layer + 1))
    if share == 1.0:
        return [(replace(work, repacked=True), on_device)]
    return [(_share(work, share), on_device), (_share(work, 1 - share), cpu_speed(board))]


def _share(work: Work, share: float) -> Work:
    return replace(
        work,
        read_bytes=work.read_bytes * share,
        params=round(work.params * share),
        kv_bytes=round(work.kv_bytes * share),
        attention=round(work.attention * share),
    )


def _prompt_seconds(parts: list[tuple[Work, Machine]], prompt: int) -> float:
    """Seconds from sending a prompt to the first token of the answer."""
    return sum(prompt * prefill_seconds(part, on, prompt) + decode_seconds(part, on, prompt) for part, on in parts)


def _word(basis: str) -> str:
    return basis.partition(":")[0]


def _rounded(tps: float) -> float:
    return float(f"{tps:.2g}") if tps < 1 else round(tps, 1) if tps < 100 else float(round(tps))
