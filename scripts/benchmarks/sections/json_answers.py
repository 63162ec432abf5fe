"""Section ``json_answers``: the whole time of a JSON answer behind a warm prefix, against llama-server.

Same messages, same schema, same longest answer, greedy on both sides, read as a stream by the same client. The
instructions are in both caches before the first round; the record is new each time.
"""

from __future__ import annotations

import json
import statistics
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from scripts.benchmarks.llama_tools import llama_server
from scripts.benchmarks.reply import ask, ask_server
from scripts.benchmarks.report import Section, figure, table
from scripts.benchmarks.rounds import Contender, Measured, Series, alternate
from scripts.benchmarks.task_questions import JOBS, for_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.tasks.contract import Schema
    from scripts.benchmarks.parameters import Model, Parameters
    from scripts.benchmarks.reply import Question, Reply

MEAN_BAR, CELL_BAR = 2.5, 1.0
HEAD = (
    "model", "answer", "edgechat, s", "tokens", "forced", "valid", "peer", "its time, s", "tokens", "valid",
    "its time / ours", "paired", "by character",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One model, one job, one peer."""

    model: str
    job: str
    peer: str
    ours: dict[str, Series]
    theirs: dict[str, Series]

    @property
    def ratio(self) -> float:
        """How many times as long the peer takes, by medians."""
        return self.theirs["seconds"].median / self.ours["seconds"].median

    @property
    def ratio_by_character(self) -> float:
        """The same for the time of one character of text, since two answers need not be equally long."""
        return _pace(self.theirs) / _pace(self.ours)

    def row(self) -> tuple[str, ...]:
        """The line of the table."""
        forced = sum(self.ours["forced"].values) / sum(self.ours["tokens"].values)
        return (
            self.model,
            self.job,
            figure(self.ours["seconds"]),
            f"{self.ours['tokens'].median:g}",
            f"{forced:.0%}",
            _share(self.ours["valid"]),
            self.peer,
            figure(self.theirs["seconds"]),
            f"{self.theirs['tokens'].median:g}",
            _share(self.theirs["valid"]),
            f"{self.ratio:.2f}",
            f"{self.theirs['seconds'].paired_ratio(self.ours['seconds']):.2f}",
            f"{self.ratio_by_character:.2f}",
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with every single figure."""
        return {
            "model": self.model,
            "job": self.job,
            "peer": self.peer,
            "ours": {name: list(series.values) for name, series in self.ours.items()},
            "theirs": {name: list(series.values) for name, series in self.theirs.items()},
            "ratio": self.ratio,
            "ratio_by_character": self.ratio_by_character,
        }


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    cells = [cell for model in parameters.models for cell in _one(parameters, model)]
    return Section(
        "json_answers",
        "JSON answers of the tasks, warm prefix",
        table=table(HEAD, (cell.row() for cell in cells)),
        notes=(*summary(cells), _METHOD),
        data=[cell.to_dict() for cell in cells],
    )


_METHOD = (
    "Wall time of the whole answer at the client. `tokens` are medians; `forced` is the share of ours that the schema "
    "left no choice about; `valid` counts answers that jsonschema accepts. Shape models write random text: their "
    "schemas have arrays of one length, and `by character` compares the time of one character."
)


def summary(cells: list[Cell]) -> tuple[str, ...]:
    """A sentence for each peer: its geometric mean over the cells, and the worst of them."""
    said = []
    for peer in dict.fromkeys(cell.peer for cell in cells):
        ratios = {f"{cell.model}, {cell.job}": cell.ratio for cell in cells if cell.peer == peer}
        mean, worst = statistics.geometric_mean(ratios.values()), min(ratios, key=lambda name: ratios[name])
        said.append(
            f"{peer}: geometric mean {mean:.2f} over {len(ratios)} cells ({_verdict(mean >= MEAN_BAR)}: at least "
            f"{MEAN_BAR:g}), worst {ratios[worst]:.2f} in {worst} ({_verdict(ratios[worst] >= CELL_BAR)}: at least "
            f"{CELL_BAR:g})."
        )
    return tuple(said)


def is_valid(text: str, schema: Schema) -> bool:
    """Whether a text is JSON that fits a schema."""
    try:
        return bool(Draft202012Validator(schema).is_valid(json.loads(text)))
    except ValueError:
        return False


def _one(parameters: Parameters, model: Model) -> list[Cell]:
    settings = parameters.edgechat.settings(model.path)
    cells = []
    with ExitStack() as open_now:
        client = open_now.enter_context(closing(parameters.edgechat.client()))
        asking: dict[str, Callable[[Question], Reply]] = {
            "edgechat": lambda question: ask(client, model.path, question)
        }
        for flavour in parameters.flavours:
            binary, log = parameters.binary("llama-server", flavour), parameters.log(f"llama-server-{flavour}")
            server = open_now.enter_context(llama_server(binary, model.path, log, settings, threads=settings.n_threads))
            asking[f"llama-server {flavour}"] = partial(ask_server, server)
        for job in JOBS:
            contenders = {name: _contender(model, job, one) for name, one in asking.items()}
            for contender in contenders.values():
                contender(999)  # reads the instructions
            results = alternate(contenders, parameters.rounds, label=f"{model.name}, {job}")
            ours = results.pop("edgechat")
            cells += [Cell(model.name, job, peer, ours, theirs) for peer, theirs in results.items()]
    parameters.edgechat.stop()
    return cells


def _contender(model: Model, job: str, one: Callable[[Question], Reply]) -> Contender:
    def run_once(turn: int) -> Measured:
        question = for_model(JOBS[job](turn), is_shape=model.is_shape)
        reply = one(question)
        return {
            "seconds": reply.wall_s,
            "tokens": reply.tokens,
            "forced": reply.forced_tokens,
            "characters": len(reply.text),
            "valid": float(is_valid(reply.text, question.schema or {})),
            "prompt": reply.prompt_tokens,
            "cached": reply.cached_tokens,
            "prefill_s": reply.prefill_s,
            "decode_s": reply.decode_s,
        }

    return run_once


def _pace(figures: dict[str, Series]) -> float:
    return sum(figures["seconds"].values) / max(sum(figures["characters"].values), 1)


def _share(valid: Series) -> str:
    return f"{sum(valid.values):g}/{len(valid.values)}"


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"
