"""Section ``speculation``: our engine with drafts against itself without, where answers repeat their input and not.

Both ask the same resident engine the same greedy questions by turns. What counts is the engine's own decoding time, so
that reading the prompt, which drafts do not touch, is left out. Random weights repeat nothing on demand: a shape is
only asked what cannot gain.
"""

from __future__ import annotations

import statistics
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Done, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from scripts.benchmarks.report import Comparison, Section, table
from scripts.benchmarks.rounds import Measured, Series, alternate

if TYPE_CHECKING:
    from edgechat.engine.client.client import EngineClient
    from scripts.benchmarks.parameters import Model, Parameters

ECHO_BAR, OTHER_BAR = 1.3, 0.97
MAX_TOKENS = 200

REPORT = (
    "The pump at station 4 stopped at 10:15 on Tuesday. The operator, Lena Hartmann, closed valve V-17 and called the "
    "workshop in Rosenheim. The mechanic, Tomasz Nowak, replaced the seal and the bearing. The pump ran again at "
    "13:40, and the pressure was normal at 14:00."
)
PEOPLE = """- Lena Hartmann, Rosenheim, +49 8031 555 0117
- Tomasz Nowak, Krakow, +48 12 555 0142
- Ingrid Solheim, Bergen, +47 55 55 01 98
- Peter Amundsen, Stavanger, +47 51 55 01 23
- Maria Fernanda Oliveira, Porto, +351 22 555 0176
- Giovanni Bellandi, Brescia, +39 030 555 0164"""
CODE = """def read_sensor(port, retries=3):
    for attempt in range(retries):
        try:
            line = port.readline().decode("ascii").strip()
            return float(line.split("=")[1])
        except (ValueError, IndexError):
            continue
    raise RuntimeError("the sensor did not answer")"""
MISSPELT = REPORT.replace("stopped", "stoped").replace("pressure", "presure").replace("mechanic", "mecanic")

ECHOES = {
    "repeat": f"Repeat this text word for word:\n\n{REPORT}",
    "rewrite, one day changed": "Here is a report. Write the same report again, but with Wednesday instead of Tuesday."
    f"\n\n{REPORT}",
    "rewrite, one number in code": "Rewrite this Python function with retries=5 and print the whole function:\n\n"
    f"```python\n{CODE}\n```",
    "correct the spelling": f"Fix the spelling mistakes in this text. Print the corrected text only.\n\n{MISSPELT}",
    "number a list": f"Print this list again, with a number before each line instead of the dash:\n\n{PEOPLE}",
    "translate, names and times": f"Translate this text into German. Keep all names, times and numbers:\n\n{REPORT}",
    "extract": f"Extract the name, the city and the phone number of each person:\n\n{PEOPLE}",
    "quote": f"Quote each sentence of this text, one after the other, and say who is meant:\n\n{REPORT}",
}
"""Answers that repeat their input; the starter, which translates nothing, gives the text back when asked to."""
OTHERS = {
    "story": "Tell me a story about a lighthouse keeper.",
    "sky": "Why is the sky blue?",
    "heat pump": "How does a heat pump work?",
    "bearing": "Explain what a bearing does in a machine.",
    "letter": "Write an email to a supplier who has sent the wrong bolts.",
    "code": "Write a Python class for a stack with push, pop and peek.",
}
"""Answers that have nothing to repeat but themselves."""

_NOTE = (
    "Greedy, one answer at a time, decoding time by the engine's own clock, the two sides by turns on one engine. A "
    "set's figure is all its tokens over all its seconds. `same text` compares every answer of every round."
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, and what it took."""

    text: str
    tokens: int
    drafted: int
    accepted: int
    decode_s: float


def run(parameters: Parameters) -> Section:
    """Every model of the parameters, one after the other."""
    comparisons: list[Comparison] = []
    rows: list[tuple[str, ...]] = []
    for model in parameters.models:
        sets = {"cannot help": (OTHERS, OTHER_BAR)}
        if not model.is_shape:
            sets = {"echo": (ECHOES, ECHO_BAR), **sets}
        for name, (prompts, bar) in sets.items():
            comparison, more = _one(parameters, model, name, prompts, bar)
            comparisons.append(comparison)
            rows += more
        parameters.edgechat.stop()
    head = ("model", "set", "answer", "tokens", "drafted", "accepted", "with / without", "same text")
    data = [dict(zip(head, row, strict=True)) for row in rows]
    title = "Speculation: answers that repeat their input"
    return Section("speculation", title, tuple(comparisons), table(head, rows), (_NOTE,), data)


def _one(
    parameters: Parameters, model: Model, name: str, prompts: dict[str, str], bar: float
) -> tuple[Comparison, list[tuple[str, ...]]]:
    answers: dict[tuple[str, bool], list[Answered]] = {(key, side): [] for key in prompts for side in (True, False)}
    with closing(parameters.edgechat.client()) as client:
        ask(client, model, "Hello.", speculate=True, max_tokens=1)  # loads the model

        def contender(*, speculate: bool) -> Measured:
            found = [ask(client, model, prompt, speculate=speculate) for prompt in prompts.values()]
            for key, answer in zip(prompts, found, strict=True):
                answers[key, speculate].append(answer)
            # n tokens are n - 1 decode steps: the first one's logits came with the prompt.
            return {"decode": sum(each.tokens - 1 for each in found) / sum(each.decode_s for each in found)}

        sides = {
            "with": lambda _turn: contender(speculate=True),
            "without": lambda _turn: contender(speculate=False),
        }
        results = alternate(sides, parameters.rounds, label=f"{model.name}, {name}")
    rows: list[tuple[str, ...]] = [
        (
            model.name,
            name,
            key,
            f"{answers[key, True][0].tokens}",
            f"{statistics.median(each.drafted for each in answers[key, True]):g}",
            f"{statistics.median(each.accepted for each in answers[key, True]):g}",
            f"{_speed(answers[key, False]).paired_ratio(_speed(answers[key, True])):.2f}",
            "yes" if len({each.text for side in (True, False) for each in answers[key, side]}) == 1 else "**no**",
        )
        for key in prompts
    ]
    ours, theirs = results["with"]["decode"], results["without"]["decode"]
    return Comparison(model.name, f"decode, {name}", "tok/s", ours, "edgechat without drafts", theirs, bar), rows


def _speed(answers: list[Answered]) -> Series:
    """Seconds a token of each round."""
    return Series(tuple(each.decode_s / max(each.tokens - 1, 1) for each in answers))


def ask(client: EngineClient, model: Model, prompt: str, *, speculate: bool, max_tokens: int = MAX_TOKENS) -> Answered:
    """One greedy answer."""
    request = Request(
        (Message("user", prompt),),
        wish=Wish(str(model.path)),
        sampling={"temperature": 0},
        max_tokens=max_tokens,
        speculate=speculate,
    )
    text = ""
    for event in client.generate(request):
        if isinstance(event, Text):
            text += event.text
        elif isinstance(event, Done):
            done = event
    usage = done.usage
    return Answered(
        text, usage["completion_tokens"], usage["drafted_tokens"], usage["accepted_tokens"], done.timing["decode_s"]
    )
