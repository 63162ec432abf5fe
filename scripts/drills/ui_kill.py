#!/usr/bin/env python3
"""Kills the terminal UI, and the engine below it, in the middle of chats, and counts what was lost.

    scripts/drills/ui_kill.py [app] [real] [engine] [--kills 180] [--real-kills 20] [--engine-kills 20]

app     kill -9 of the app at random moments while a scripted (FAKE) engine answers fast
real    the same with the real starter model
engine  kill -9 of the real engine in mid-answer: the app lives, what came is kept as partial or goes on, and the next
        answer comes

Acknowledged is a question that the screen shows among the messages, an answer whose closing line (its facts) is shown,
and a title in the list. What the screen had shown is told by a terminal emulator from the bytes that had arrived when
the process died. After each kill the file is checked with SQLite's integrity_check. One summary line for each part.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time

from edgechat.chat.history import History, history_file
from edgechat.engine.client import client
from scripts.measure.ui_latency import APP, PATIENCE_S, WELCOME, Home, speaker
from tests.tui.terminal import CTRL_N, ENTER, ESC, Terminal

ENDLESS = "What is the capital of France?"
SIZE = (100, 200)
"""High enough that nothing scrolls away: everything that was acknowledged stands on the screen."""
_NUMBER = re.compile(r"\bquestion-(\d+)-end\b")
_FACTS = re.compile(r"^\s*(scripted|smollm2\S*).* \d+ tokens")


class Tally:
    """What was acknowledged, and what of it was lost."""

    def __init__(self) -> None:
        self.questions: set[str] = set()
        self.answers = 0
        self.lost: list[str] = []
        self.unsound = 0
        self.kills = 0


def acknowledged(lines: list[str]) -> tuple[set[str], set[str]]:
    """Questions that stand among the messages, and those of them whose answer has its closing line below it."""
    questions: set[str] = set()
    answered: set[str] = set()
    last = None
    for line in lines[1:-3]:  # the title above; the field, the state and the keys below
        if found := _NUMBER.search(line):
            last = found[1]
            questions.add(last)
        elif last is not None and _FACTS.match(line):
            answered.add(last)
    return questions, answered


def check(home: Home, terminal: Terminal, tally: Tally, *, kill: int) -> None:
    """Compare what the screen had shown with what another process finds."""
    questions, answered = acknowledged(terminal.lines)
    if history_file(home.paths).exists():  # it may have died before it made one
        with sqlite3.connect(history_file(home.paths)) as raw:
            if raw.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                tally.unsound += 1
    with History.open(home.paths) as history:
        if history.check_integrity():
            tally.unsound += 1
        kept: dict[str, str] = {}
        for conversation in history.conversations():
            asked = None
            for message in history.messages(conversation.id):
                if message.role == "user" and (found := _NUMBER.search(message.content)):
                    asked = found[1]
                    kept[asked] = ""
                elif message.role == "assistant" and asked is not None:
                    kept[asked] = message.status
    tally.questions |= questions
    tally.answers += len(answered)
    tally.lost += [f"kill {kill}: question {each}" for each in sorted(tally.questions - kept.keys())]
    tally.lost += [
        f"kill {kill}: the end of answer {each} ({kept.get(each)})"
        for each in sorted(answered)
        if kept.get(each) not in {"complete", "partial"}
    ]


def chat_until(terminal: Terminal, deadline: float, dice: random.Random, number: int) -> int:
    """Chat as fast as the app allows until the deadline; the number of the last question asked."""
    while time.monotonic() < deadline:
        number += 1
        terminal.send(f"question-{number}-end".encode())
        terminal.pump(min(dice.uniform(0, 0.2), max(0, deadline - time.monotonic())))
        terminal.send(ENTER)
        end = min(deadline, time.monotonic() + dice.uniform(0.1, 2.5))
        while time.monotonic() < end:
            terminal.read_some(0.05)
        if dice.random() < 0.3:
            terminal.send(ESC)
            terminal.pump(min(0.05, max(0, deadline - time.monotonic())))
        if dice.random() < 0.1:
            terminal.send(CTRL_N)
            terminal.pump(min(0.1, max(0, deadline - time.monotonic())))
    return number


def kill_app(home: Home, kills: int, seed: int, latest_s: float) -> Tally:
    """Start, chat, kill -9 at a random moment, look; again and again over one history."""
    dice, tally, number = random.Random(seed), Tally(), 0
    for kill in range(1, kills + 1):
        with Terminal(APP, home.env, SIZE) as terminal:
            if dice.random() < 0.9:  # a tenth dies while the app opens
                terminal.wait(WELCOME, PATIENCE_S)
                number = chat_until(terminal, time.monotonic() + dice.uniform(0, latest_s), dice, number)
            else:
                terminal.pump(dice.uniform(0, 1.5))
            terminal.kill()
            terminal.read_rest()
            tally.kills += 1
            check(home, terminal, tally, kill=kill)
    return tally


def kill_engine(home: Home, kills: int, seed: int) -> tuple[int, int, int, list[str]]:
    """Kill the engine under a running answer: survived, went on or kept, answered afterwards, and what went wrong."""
    dice = random.Random(seed)
    lived = kept = went_on = 0
    wrong: list[str] = []
    with Terminal(APP, home.env, SIZE) as terminal:
        terminal.wait(WELCOME, PATIENCE_S)
        for kill in range(1, kills + 1):
            try:
                terminal.send(ENDLESS.encode() + ENTER)
                terminal.wait("tok/s · Esc", PATIENCE_S)
                terminal.pump(dice.uniform(0, 1.0))
                before = text_of_last(home)
                (engine,) = client.status(home.paths)
                os.kill(int(engine["pid"]), signal.SIGKILL)
                terminal.pump(dice.uniform(0.5, 3.0))
                lived += terminal.is_alive
                terminal.send(ESC)
                terminal.wait(
                    lambda shown: "tok/s · Esc" not in shown.text and "stopping" not in shown.text, PATIENCE_S
                )
                terminal.pump(0.3)
                now = text_of_last(home)
                kept += bool(now) and now.startswith(before)
                if not now.startswith(before):
                    wrong.append(f"kill {kill}: {before[:40]!r} became {now[:40]!r}")
                terminal.send(CTRL_N)
                terminal.pump(0.3)
                terminal.send(b"Say hello." + ENTER)
                terminal.wait(lambda shown: any(_FACTS.match(line) for line in shown.lines), PATIENCE_S)
                went_on += 1
                terminal.send(CTRL_N)
                terminal.pump(0.3)
            except (TimeoutError, ValueError) as error:
                wrong.append(f"kill {kill}: {str(error).splitlines()[0]}; {terminal.lines[-2].strip()}")
                terminal.send(ESC)
                terminal.pump(1)
                terminal.send(CTRL_N)
                terminal.pump(1)
    return lived, kept, went_on, wrong


def text_of_last(home: Home) -> str:
    """What is on disk of the last answer; a look from outside, as another program has it."""
    with sqlite3.connect(f"file:{history_file(home.paths)}?mode=ro", uri=True) as raw:
        row = raw.execute("SELECT content FROM message WHERE role = 'assistant' ORDER BY id DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def tell(name: str, tally: Tally) -> int:
    """One line, and what was lost; 1 when anything was."""
    for each in tally.lost[:20]:
        print(f"  {each}")
    print(
        f"{name}: {tally.kills} kills, {len(tally.questions)} questions and {tally.answers} answers acknowledged,"
        f" {len(tally.lost)} lost, {tally.unsound} times unsound",
        flush=True,
    )
    return int(bool(tally.lost or tally.unsound))


def main() -> int:
    """Drill what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("app", "real", "engine")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; all when none is named")
    parser.add_argument("--kills", type=int, default=180)
    parser.add_argument("--real-kills", type=int, default=20)
    parser.add_argument("--engine-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    failed = 0
    for part in chosen.parts or parts:
        with tempfile.TemporaryDirectory() as folder:
            home = Home(folder, f"max_tokens = {60 if part == 'real' else 300}\ntemperature = 0\n")
            try:
                if part == "app":
                    child = speaker(home, 60, 80)
                    try:
                        failed |= tell("app", kill_app(home, chosen.kills, chosen.seed, 4.0))
                    finally:
                        child.kill()
                        child.wait()
                elif part == "real":
                    failed |= tell("real", kill_app(home, chosen.real_kills, chosen.seed, 8.0))
                elif part == "engine":
                    lived, kept, went_on, wrong = kill_engine(home, chosen.engine_kills, chosen.seed)
                    for each in wrong:
                        print(f"  {each}")
                    total = chosen.engine_kills
                    print(
                        f"engine: {total} kills, app alive after {lived}, text kept {kept}, next answer came {went_on}",
                        flush=True,
                    )
                    failed |= int(min(lived, kept, went_on) < total)
                else:
                    parser.error(f"there is no part {part!r}: {', '.join(parts)}")
            finally:
                client.stop(home.paths)
    return failed


if __name__ == "__main__":
    sys.exit(main())
