#!/usr/bin/env python3
"""How much sooner an answer begins when the engine has read its question while it was typed.

    scripts/measure/typing_latency.py [--model FILE.gguf] [--rounds 2] [--rate 5] [only ...]

plain     the second question of a conversation, sent at once: seconds from Enter to the first text
typed     the same typed at --rate characters a second, with the terminal UI's rule for when a draft is sent
pasted    the same pasted, and Enter one second later
beside    tokens per second of another client's answer, with and without somebody typing (alternating)

Each round asks in a conversation of its own, so that nothing of the question is in the cache before. Works in a home of
its own and prints Markdown; the ratios are of medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of scripts/measure
from edgechat.config import Config
from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.client.draft_reader import DraftReader
from edgechat.engine.protocol.events import Done, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.paths import Paths
from edgechat.tui.screens.chat_draft_reading import when_to_send

QUESTION = (
    "Our conveyor belt stops about twice in every shift, always for a few seconds, and then it starts again without "
    "anybody touching it. The motor was replaced last week, the fuses are fine, and the emergency stop was not "
    "pressed. The log of the controller shows only that the light barrier at station three was interrupted shortly "
    "before. Dust from the saw gathers there during the day. What should we look at first, and how can we find out "
    "whether the light barrier is the cause of it?"
)
"""About 100 tokens."""
N_CTX, N_BESIDE = 2048, 48
PARTS = ("plain", "typed", "pasted", "beside")


class Typist:
    """A person at the keyboard: sends drafts by the terminal UI's rule."""

    def __init__(self, paths: Paths, before: tuple[Message, ...], wish: Wish) -> None:
        self._reader = DraftReader(paths, Config().read_ahead)
        self._before, self._wish = before, wish
        self._sent_at, self._due, self._length = 0.0, float("inf"), 0
        self._is_finished = False
        self.n_drafts = 0

    def change(self, text: str) -> None:
        """The field holds ``text`` now."""
        now = time.monotonic()
        wait_s, self._is_finished = when_to_send(text, len(text) - self._length, now - self._sent_at)
        self._due = now + wait_s
        self._length = len(text)
        self.pass_time(text)

    def pass_time(self, text: str) -> None:
        """Send the draft if it is time."""
        if (now := time.monotonic()) >= self._due:
            self._sent_at, self._due = now, float("inf")
            asked = Request((*self._before, Message("user", text)), wish=self._wish)
            self._reader.read(asked, is_finished=self._is_finished)
            self.n_drafts += 1

    def wait(self, text: str, seconds: float) -> None:
        """Do nothing for some seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.pass_time(text)
            time.sleep(0.01)

    def type(self, text: str, rate: float) -> None:
        """Type a text, ``rate`` characters a second."""
        for count in range(1, len(text) + 1):
            self.change(text[:count])
            self.wait(text[:count], 1 / rate)

    def enter(self) -> None:
        """Stop reading: the question follows."""
        self._reader.stop()


def answer(link: EngineClient, messages: tuple[Message, ...], wish: Wish, count: int) -> tuple[float, str, Done]:
    """Seconds to the first text, the text, and the end of an answer."""
    asked, first, text = time.monotonic(), 0.0, ""
    for event in link.generate(Request(messages, wish, {"temperature": 0.0}, count)):
        if isinstance(event, Text):
            first = first or time.monotonic() - asked
            text += event.text
        elif isinstance(event, Done):
            done = event
    return first, text, done


def ask(link: EngineClient, paths: Paths, wish: Wish, how: str, rate: float) -> tuple[float, int, int]:
    """One conversation: seconds from Enter to the first text of its second answer, tokens read then, and drafts."""
    first = Message("user", f"This is talk {os.urandom(3).hex()}. Say hello.")
    _, said, _ = answer(link, (first,), wish, 8)
    before = (first, Message("assistant", said))
    typist = Typist(paths, before, wish)
    if how == "typed":
        typist.type(QUESTION, rate)
    elif how == "pasted":
        typist.change(QUESTION)
        typist.wait(QUESTION, 1.0)
    typist.enter()
    seconds, _, done = answer(link, (*before, Message("user", QUESTION)), wish, 4)
    return seconds, done.usage["prompt_tokens"] - done.usage["cached_tokens"], typist.n_drafts


def beside(paths: Paths, wish: Wish, *, is_typing: bool) -> float:
    """Tokens per second of an answer, while somebody types in another conversation or not."""
    typist, stop = Typist(paths, (), wish), threading.Event()

    def keep_typing() -> None:
        text = f"{os.urandom(3).hex()} "
        while not stop.wait(0.2):
            text += QUESTION[len(text) % len(QUESTION)]
            typist.change(text)

    typing = threading.Thread(target=keep_typing)
    if is_typing:
        typing.start()
    with closing(EngineClient(paths)) as link:
        _, _, done = answer(link, (Message("user", f"Tell a long story about {os.urandom(3).hex()}."),), wish, N_BESIDE)
    if is_typing:
        stop.set()
        typing.join()
        typist.enter()
    return float(done.timing["decode_tps"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--model", help="a GGUF file; the starter model by default")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=5.0, help="characters a second")
    options = parser.parse_args()
    parts = options.parts or PARTS
    with tempfile.TemporaryDirectory(prefix="edgechat-typing-") as home:
        os.environ["EDGECHAT_HOME"] = home
        paths, wish = Paths.from_env(), Wish.of(options.model, N_CTX)
        try:
            with closing(EngineClient(paths, keeps=True)) as link:
                answer(link, (Message("user", "Hello."),), wish, 4)
                found = {how: [ask(link, paths, wish, how, options.rate) for _ in range(options.rounds)]
                         for how in ("plain", "typed", "pasted") if how in parts}  # fmt: skip
            print("| question | TTFT at Enter, s | tokens read after Enter | drafts |\n|---|---|---|---|")
            for how, rounds in found.items():
                cells = [", ".join(f"{each:.3g}" for each in column) for column in zip(*rounds, strict=True)]
                print(f"| {how} | {' | '.join(cells)} |")
            plain = median(each[0] for each in found["plain"]) if "plain" in found else 0.0
            for how in [each for each in found if each != "plain" and plain]:
                print(f"{how}: {median(each[0] for each in found[how]) / plain:.3f} of plain (at most 0.15)")
            if "beside" in parts:
                pairs = [(beside(paths, wish, is_typing=False), beside(paths, wish, is_typing=True))
                         for _ in range(options.rounds)]  # fmt: skip
                speeds = ", ".join(f"{alone:.2f} and {typing:.2f}" for alone, typing in pairs)
                ratio = median(typing / alone for alone, typing in pairs)
                print(f"beside: {speeds} tok/s alone and with typing; median ratio {ratio:.3f} (at least 0.95)")
        finally:
            client.stop(paths)


if __name__ == "__main__":
    main()
