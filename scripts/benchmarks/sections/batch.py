"""Section ``batch``: records a second of a driving-like task, ours against llama-server's best number of slots.

A few records first say which number of clients, and of slots (``-np``), is best for each side; all of those figures
are printed. The best of each then take turns over the whole set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmarks import concurrent_clients
from scripts.benchmarks.llama_tools import llama_server
from scripts.benchmarks.report import Comparison, Section, table
from scripts.benchmarks.rounds import Contender, Measured, Series, alternate
from scripts.benchmarks.sections.json_answers import is_valid
from scripts.benchmarks.task_questions import driving, for_model

if TYPE_CHECKING:
    from scripts.benchmarks.parameters import Model, Parameters
    from scripts.benchmarks.reply import Question, Reply

RECORDS, SCOUTS = 64, 16
CLIENTS = (1, 4, 8)
OURS = (*CLIENTS, 16)
BAR = 2.5
_SLOT_TOKENS = 1024
"""Cells of each slot of llama-server: instructions, record and the longest answer."""

_NOTE = (
    f"The table is the search for the best number of clients: one pass over {SCOUTS} records each, the instructions "
    "read before. llama-server has as many slots as clients. `cached` is the share of the prompt tokens that were not "
    "computed."
)
Worker = Callable[["list[Question]"], "tuple[float, list[Reply]]"]


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons: list[Comparison] = []
    rows: list[tuple[str, ...]] = []
    for model in parameters.models:
        _one(parameters, model, comparisons, rows)
    head = ("model", "with", "clients", f"records/s over {SCOUTS}", "tokens/s", "valid", "cached")
    return Section(
        "batch",
        f"{RECORDS} records of the driving task",
        tuple(comparisons),
        table=table(head, rows),
        notes=(_NOTE,),
        data=[dict(zip(head, row, strict=True)) for row in rows],
    )


def _one(parameters: Parameters, model: Model, comparisons: list[Comparison], rows: list[tuple[str, ...]]) -> None:
    sides: dict[str, dict[int, Worker]] = {
        "edgechat": {n: partial(concurrent_clients.ask_edgechat, parameters, model, n) for n in OURS}
    }
    for flavour in parameters.flavours:
        sides[f"llama-server {flavour}"] = {n: partial(_with_server, parameters, model, flavour, n) for n in CLIENTS}
    # Loads the model and reads the instructions, as is done for each llama-server before its clock runs.
    concurrent_clients.ask_edgechat(
        parameters, model, 1, [replace(question, max_tokens=1) for question in _questions(model, 1, 999)]
    )
    best: dict[str, int] = {}
    for side, workers in sides.items():
        found: dict[int, float] = {}
        for n, worker in workers.items():
            figures = _figures(worker, _questions(model, SCOUTS, 0))
            found[n] = figures["records"]
            rows.append(
                (
                    model.name,
                    side,
                    str(n),
                    f"{figures['records']:.3g}",
                    f"{figures['tokens']:.3g}",
                    f"{figures['valid']:g}/{SCOUTS}",
                    f"{figures['cached']:.0%}",
                )
            )
            print(f"{model.name}, scouts  {' | '.join(rows[-1][1:])}", file=sys.stderr, flush=True)
        best[side] = max(found, key=lambda n: found[n])
    contenders = {f"{side} x{best[side]}": _contender(model, workers[best[side]]) for side, workers in sides.items()}
    results = alternate(contenders, parameters.rounds, label=f"{model.name}, {RECORDS} records")
    parameters.edgechat.stop()
    ours_name, *peers = results
    for peer in peers:
        for measure, bar in (("records", BAR), ("tokens", None)):
            ours: Series = results[ours_name][measure]
            what = f"{measure}, {ours_name.rpartition('x')[2]} clients"
            comparisons.append(Comparison(model.name, what, "1/s", ours, peer, results[peer][measure], bar))


def _contender(model: Model, worker: Worker) -> Contender:
    return lambda turn: _figures(worker, _questions(model, RECORDS, turn + 1))


def _with_server(
    parameters: Parameters, model: Model, flavour: str, slots: int, asked: list[Question]
) -> tuple[float, list[Reply]]:
    settings = parameters.edgechat.settings(model.path)
    binary, log = parameters.binary("llama-server", flavour), parameters.log(f"llama-server-{flavour}")
    room = ("-c", str(max(settings.n_ctx, slots * _SLOT_TOKENS)))
    with llama_server(binary, model.path, log, settings, threads=settings.n_threads, slots=slots, extra=room) as server:
        # Each slot reads the instructions once before the clock runs, with records that are not asked for.
        concurrent_clients.ask_llama_server(
            server, slots, [replace(question, max_tokens=1) for question in _questions(model, slots, 999)]
        )
        return concurrent_clients.ask_llama_server(server, slots, asked)


def _figures(worker: Worker, asked: list[Question]) -> Measured:
    seconds, replies = worker(asked)
    valid = [is_valid(r.text, q.schema or {}) for r, q in zip(replies, asked, strict=True)]
    return {
        "records": len(asked) / seconds,
        "tokens": sum(reply.tokens for reply in replies) / seconds,
        "valid": sum(valid),
        "cached": sum(r.cached_tokens for r in replies) / max(sum(r.prompt_tokens for r in replies), 1),
        "characters": sum(len(reply.text) for reply in replies),
    }


def _questions(model: Model, count: int, turn: int) -> list[Question]:
    return [for_model(driving(turn * RECORDS + n), is_shape=model.is_shape) for n in range(count)]
