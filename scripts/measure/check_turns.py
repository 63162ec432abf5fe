#!/usr/bin/env python3
"""What does each turn of a long chat read, and how soon does its answer begin, beside llama-server in the same run?

    python -m scripts.measure.check_turns FILE.gguf [--turns 20] [--answer 24] [--alone] [--json FILE]

Both answer the same conversation, question by question and in turn; edgechat's answers are its history. After half of
the turns the last question is asked again, then edited. `beyond` is what edgechat read more than the prompt has grown
since the turn before: where a template rewrites answers, their tokens are part of that growth or of what is cached, and
what remains is the opening of an answer. The exit status is 1 when that is more than 16 tokens anywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgechat.engine.protocol.request import Message
from scripts.benchmarks import peers
from scripts.benchmarks.edgechat_driver import Edgechat
from scripts.benchmarks.llama_tools import llama_server
from scripts.benchmarks.machine_info import usable_cores
from scripts.benchmarks.reply import Question, ask, ask_server
from scripts.benchmarks.sections.chat_turns import sentence

MOST_BEYOND = 16
_SYSTEM = "You are a patient guide in a small museum of old machines. Answer in one short sentence."


@dataclass(frozen=True, slots=True)
class Turn:
    """One question to both."""

    name: str
    prompt: int
    read: int
    beyond: int
    ttft_s: float
    server_read: int = 0
    server_ttft_s: float = 0.0

    @property
    def ratio(self) -> float:
        """Our time to the first text over llama-server's; 0 without it."""
        return self.ttft_s / self.server_ttft_s if self.server_ttft_s else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--answer", type=int, default=24, help="longest answer, in tokens (24)")
    parser.add_argument("--alone", action="store_true", help="without llama-server")
    parser.add_argument("--flavour", default="noomp", choices=peers.FLAVOURS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ec-turns-") as home:
        turns = measure(Edgechat(Path(home), usable_cores()), args)
    if args.json:
        args.json.write_text(json.dumps([asdict(turn) | {"ratio": turn.ratio} for turn in turns], indent=1))
    worst = max(turn.beyond for turn in turns[1:])
    print(f"read beyond the growth of the prompt: at most {worst} tokens")
    return int(worst > MOST_BEYOND)


def measure(edgechat: Edgechat, args: argparse.Namespace) -> list[Turn]:
    """All turns, printed as they come."""
    model = args.model.absolute()
    settings = edgechat.settings(model)
    turns: list[Turn] = []
    messages = [Message("system", _SYSTEM)]
    with ExitStack() as open_now:
        client = open_now.enter_context(closing(edgechat.client()))
        open_now.callback(edgechat.stop)
        server = None
        if not args.alone:
            binary, log = peers.binary("llama-server", args.flavour), Path(tempfile.gettempdir()) / "ec-turns.log"
            server = open_now.enter_context(llama_server(binary, model, log, settings, threads=settings.n_threads))
        before = 0

        def say(name: str, conversation: list[Message], known: int) -> Message:
            question = Question(conversation, args.answer)
            ours = ask(client, model, question)
            theirs = ask_server(server, question) if server else None
            read = ours.prompt_tokens - ours.cached_tokens
            turn = Turn(name, ours.prompt_tokens, read, read - (ours.prompt_tokens - known), ours.ttft_s)
            if theirs:
                there = theirs.prompt_tokens - theirs.cached_tokens
                turn = replace(turn, server_read=there, server_ttft_s=theirs.ttft_s)
            turns.append(turn)
            print(
                f"{name:>12}  prompt {turn.prompt:5}  read {turn.read:4}  beyond {turn.beyond:4}  first text "
                f"{turn.ttft_s:6.3f} s  llama-server read {turn.server_read:4}, {turn.server_ttft_s:6.3f} s  "
                f"ratio {turn.ratio:.2f}",
                flush=True,
            )
            return Message("assistant", ours.text.strip() or ".")

        say("load", [Message("user", "Hello.")], 0)
        for number in range(1, args.turns + 1):
            messages.append(Message("user", sentence(1, number)))
            answer = say(f"turn {number}", messages, before)
            if number == args.turns // 2:
                say("again", messages, turns[-1].prompt)
                say("edited", [*messages[:-1], Message("user", "What is it made of, and who paid for it?")], before)
                say("and back", messages, before)
            before = next(turn.prompt for turn in reversed(turns) if turn.name == f"turn {number}")
            messages.append(answer)
        turns.pop(0)
    return turns


if __name__ == "__main__":
    sys.exit(main())
