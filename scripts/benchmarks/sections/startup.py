"""Section ``startup``: from pressing return to one token and the prompt back, against ``llama-completion -n 1``.

Wall time of the whole command on both sides, the file in the page cache. Warm: the engine runs already. Cold: it is
stopped first, so that the command starts it and loads the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmarks.llama_tools import completion_seconds
from scripts.benchmarks.report import Comparison, Section
from scripts.benchmarks.rounds import Contender, Measured, alternate

if TYPE_CHECKING:
    from edgechat.models.planning.plan import LoadSettings
    from scripts.benchmarks.parameters import Model, Parameters

_PRIMER = "Name a number."
_PROMPT = "Colours: name one."
"""Differs from the primer in its first word: a warm engine is measured, not its memory of the prompt."""
WARM_BAR, COLD_BAR = 0.4, 1.2


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons: list[Comparison] = []
    for model in parameters.models:
        comparisons += _one(parameters, model)
    note = (
        "`llama-completion` runs at its defaults (whole trained context, warm-up), as its users run it, "
        "and once more with the context edgechat's plan has."
    )
    return Section("startup", "Startup: one token", tuple(comparisons), notes=(note,))


def _one(parameters: Parameters, model: Model) -> list[Comparison]:
    settings = parameters.edgechat.settings(model.path)
    contenders: dict[str, Contender] = {
        "warm": lambda _turn: _warm(parameters, model),
        "cold": lambda _turn: _cold(parameters, model),
        "llama-completion": _completion(parameters, model, settings, None),
        f"llama-completion -c {settings.n_ctx}": _completion(parameters, model, settings, settings.n_ctx),
    }
    results = alternate(contenders, parameters.rounds, label=model.name)
    parameters.edgechat.stop()
    lines = []
    for kind, bar in (("warm", WARM_BAR), ("cold", COLD_BAR)):
        for peer in list(contenders)[2:]:
            seconds, theirs = results[kind]["seconds"], results[peer]["seconds"]
            # The promise is about the command as people type it; the other line only explains it.
            promised = bar if peer == "llama-completion" else None
            lines.append(
                Comparison(
                    model.name, f"ask -n 1, {kind}", "s", seconds, peer, theirs, promised, smaller_is_better=True
                )
            )
    return lines


def _warm(parameters: Parameters, model: Model) -> Measured:
    # An answer nobody counts: whatever ran before may have stopped the engine.
    parameters.edgechat.ask(model.path, _PRIMER, max_tokens=1)
    return {"seconds": parameters.edgechat.ask(model.path, _PROMPT, max_tokens=1).wall_s}


def _cold(parameters: Parameters, model: Model) -> Measured:
    parameters.edgechat.stop()
    return {"seconds": parameters.edgechat.ask(model.path, _PROMPT, max_tokens=1).wall_s}


def _completion(parameters: Parameters, model: Model, settings: LoadSettings, n_ctx: int | None) -> Contender:
    # The flavour its users have, unless only another is wanted.
    binary = parameters.binary("llama-completion", parameters.flavours[0])
    return lambda _turn: {"seconds": completion_seconds(binary, model.path, settings, _PROMPT, n_ctx=n_ctx)}
