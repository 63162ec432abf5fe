#!/usr/bin/env python3
"""A long life: opening a conversation of 10,000 messages among 1,000, and searching them, in the real app.

    scripts/measure/ui_scale.py [--messages 10000] [--conversations 1000] [--rounds 7]

Two homes: one holds a conversation of 10 messages, the other one of 10,000 and 999 others of six messages each. In both
the app is opened in a real pseudo-terminal; the list is opened, the conversation chosen, and timed until its last
message stands on the screen; alternating. Then a word is searched for in the large home, with the history itself and
in the app, and the list of all is opened. Memory is the app's resident set. One summary line for each part.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from edgechat.chat.conversation import Conversation, Message, Transcript
from edgechat.chat.history import History
from scripts.measure.ui_latency import APP, PATIENCE_S, WELCOME, Home
from tests.tui.speaker import PAGE
from tests.tui.terminal import ENTER, F2, Terminal

SIZE = (120, 40)
QUERIES = ("valve", "zebra", "東京", "the", "light scattered")
LAST = "this is the last word"


def fill(home: Home, messages: int, conversations: int) -> None:
    """Make a history; the long conversation is the one spoken in last."""
    others = [
        Transcript(Conversation(f"Chat {number}"), tuple(talk(6, f"valve {number}")))
        for number in range(conversations - 1)
    ]
    with History.open(home.paths) as history:
        history.add(others)
        history.add([Transcript(Conversation("The long one"), tuple(talk(messages - 1, "東京 engine")))])
        last = history.last()
        assert last is not None
        history.add_question(last.id, LAST)


def talk(count: int, words: str) -> list[Message]:
    """Questions and Markdown answers in turn; one of a thousand speaks of a zebra."""
    return [
        Message("assistant", f"{PAGE}{words} {at}{' zebra' if at % 1000 == 999 else ''}")
        if at % 2
        else Message("user", f"What about {words} number {at}?")
        for at in range(count)
    ]


def open_long(home: Home) -> tuple[float, int]:
    """Seconds from Enter on the list to the conversation's last message on the screen, and resident bytes then."""
    with Terminal(APP, home.env, SIZE) as terminal:
        terminal.wait(WELCOME, PATIENCE_S)
        terminal.pump(1.0)
        terminal.send(F2)
        terminal.wait("The long one", PATIENCE_S)
        terminal.pump(0.5)
        begun = len(terminal.chunks)
        at = terminal.send(ENTER)
        mark = LAST.encode()
        end = time.monotonic() + PATIENCE_S
        while not any(mark in data for _, data in terminal.chunks[begun:]) and time.monotonic() < end:
            terminal.read_some(0.5)
        took = terminal.chunks[-1][0] - at
        terminal.pump(0.5)
        return took, resident(terminal)


def resident(terminal: Terminal) -> int:
    """Bytes of the app in memory."""
    status = Path(f"/proc/{terminal.pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def search_in_app(home: Home, words: str) -> float:
    """Seconds from the last letter to the number of what was found, with the patience for further letters in it."""
    with Terminal(APP, home.env, SIZE) as terminal:
        terminal.wait(WELCOME, PATIENCE_S)
        terminal.pump(1.0)
        terminal.send(F2)
        terminal.wait("more below", PATIENCE_S)
        terminal.pump(0.5)
        terminal.send(b"/")
        terminal.pump(0.5)
        for letter in words[:-1]:
            terminal.send(letter.encode())
            terminal.pump(0.02)
        begun = len(terminal.chunks)
        at = terminal.send(words[-1].encode())
        end = time.monotonic() + PATIENCE_S
        while not any(b" found" in data for _, data in terminal.chunks[begun:]) and time.monotonic() < end:
            terminal.read_some(0.5)
        return terminal.chunks[-1][0] - at


def read_back(home: Home) -> tuple[int, int]:
    """Resident bytes before and after reading far back in the long conversation."""
    with Terminal(APP, home.env, SIZE) as terminal:
        terminal.wait(WELCOME, PATIENCE_S)
        terminal.pump(1.0)
        terminal.send(F2)
        terminal.wait("The long one", PATIENCE_S)
        terminal.pump(0.5)
        terminal.send(ENTER)
        terminal.wait(LAST, PATIENCE_S)
        before = resident(terminal)
        for _ in range(400):
            terminal.send(b"\x1b[5~")
            terminal.pump(0.03)
        terminal.pump(3)
        return before, resident(terminal)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--conversations", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        small, large = Home(one), Home(other)
        fill(small, 10, 1)
        fill(large, chosen.messages, chosen.conversations)
        found = [(open_long(small), open_long(large)) for _ in range(chosen.rounds + 1)][1:]
        ratio = median(theirs[0] / ours[0] for ours, theirs in found)
        print(
            f"opening: {1000 * median(each[1][0] for each in found):.0f} ms with {chosen.messages:,} messages,"
            f" {1000 * median(each[0][0] for each in found):.0f} ms with 10, paired ratio {ratio:.2f} (bar 1.5);"
            f" RSS {median(each[1][1] for each in found) / 1e6:.0f} MB against"
            f" {median(each[0][1] for each in found) / 1e6:.0f} MB; {chosen.rounds} rounds",
            flush=True,
        )
        with History.open(large.paths) as history:
            slowest = 0.0
            for words in QUERIES:
                taken = []
                for _ in range(chosen.rounds):
                    begun = time.perf_counter()
                    hits = history.search(words, 100)
                    taken.append(time.perf_counter() - begun)
                slowest = max(slowest, median(taken))
                print(f"  {words!r}: {len(hits)} found in {1000 * median(taken):.1f} ms")
        in_app = median(search_in_app(large, "zebra") for _ in range(3))
        print(
            f"search: slowest median {1000 * slowest:.0f} ms (bar 100); in the app {1000 * in_app:.0f} ms from the last"
            " letter, of which 120 wait for the next one",
            flush=True,
        )
        before, after = read_back(large)
        print(f"memory: {before / 1e6:.0f} MB, after reading 400 pages back {after / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
