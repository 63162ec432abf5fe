"""Talks to a model through the decode loop: run as a module with a file's path, prints what was seen as JSON.

llama.cpp, which the loop loads, must not be loaded into the process of a test.
"""

import json
import os
import random
import shutil
import sys
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from edgechat.board.probe.probe import probe
from edgechat.config import Config
from edgechat.engine.decoding import speculative
from edgechat.engine.decoding.loaded_model import LoadedModel
from edgechat.engine.decoding.loop import DecodeLoop
from edgechat.engine.decoding.request_loop import LoopServices
from edgechat.engine.decoding.request_queue import RequestQueue
from edgechat.engine.kv_cache.prefix import Tokens, common_prefix
from edgechat.engine.protocol.events import Done, Logprobs, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state.metrics import Metrics
from edgechat.engine.state.oom_history import OomHistory
from edgechat.engine.state.shared_status import SharedStatus
from edgechat.engine.throttle.monitor import ThrottleMonitor
from edgechat.engine.throttle.thread_governor import Governor
from edgechat.paths import Paths

PATHS = Paths.from_env(os.environ)
CHOICE = choose(
    Wish(sys.argv[1], n_ctx=2048), paths=PATHS, config=Config(), board=probe(), offload=False, oom_history=OomHistory()
)
WORDS = ("pump", "station", "four", "stopped", "because", "valve", "closed", "while", "rain", "fell", "on", "roof")
RANDOM = random.Random(7)


class Reader:
    """Whoever asks."""

    is_open = True
    keeps = True

    def __init__(self) -> None:
        self.events: list[Any] = []

    def send(self, event: Any, request_id: int) -> None:
        """An event of an answer."""
        self.events.append(event)

    def send_frame(self, frame: Any) -> None:
        """A refusal."""
        raise AssertionError(frame)


class Answer(NamedTuple):
    """An answer."""

    text: str
    usage: dict[str, int]
    tokens: list[int]
    gaps: list[float]
    """By how much the likeliest token was likelier than the next one, as logarithms."""

    @property
    def n_read(self) -> int:
        """Tokens of the prompt that were read."""
        return self.usage["prompt_tokens"] - self.usage["cached_tokens"]

    def gap_to(self, other: "Answer") -> float:
        """How sure the first token was that the other answer has otherwise; 0 where all are the same.

        llama.cpp adds up the same numbers in another order for each size of a step, so near-equal tokens may change.
        """
        pairs = zip(self.tokens, other.tokens, self.gaps, strict=False)
        return next((gap for one, two, gap in pairs if one != two), 0.0)


class Engine:
    """The decode loop over one model."""

    def __init__(self, **settings: Any) -> None:
        plan = replace(CHOICE.plan, settings=replace(CHOICE.plan.settings, **settings))
        self.loaded = LoadedModel(replace(CHOICE, plan=plan), PATHS, on_progress=lambda _fraction: True)
        self.requests = RequestQueue()
        services = LoopServices(
            self.requests,
            Governor(1),
            SharedStatus(),
            mismatch=lambda _wish, _connection: None,
            monitor=ThrottleMonitor(),
            metrics=Metrics(),
        )
        self.loop = DecodeLoop(self.loaded, services)
        self.checkpoints = self.loop._scheduler._rewind.checkpoints
        self.held: Tokens = ()
        """What the last sequence left in the cache."""

    def ask(self, *conversations: tuple[Message, ...], **options: Any) -> list[Answer]:
        """The answers to conversations that are asked at once."""
        readers: list[Any] = [Reader() for _ in conversations]
        options = {"sampling": {"temperature": 0}, "max_tokens": 10, "logprobs": 2, **options}
        for number, (reader, messages) in enumerate(zip(readers, conversations, strict=True)):
            self.requests.put(reader, number, Request(messages, **options))
        sequences: dict[int, Any] = {}
        self.loop.step(0.0)
        while self.loop.n_active:
            sequences |= {each.request_id: each for each in self.loop._running}
            self.loop.step(0.0)
        self.loop.step(0.0)
        last = sequences[len(conversations) - 1]
        self.held = tuple(last.tokens(0, last.n_past))
        return [self._answer(reader.events, sequences[number]) for number, reader in enumerate(readers)]

    @staticmethod
    def _answer(events: list[Any], sequence: Any) -> Answer:
        entries = [entry for each in events if isinstance(each, Logprobs) for entry in each.entries]
        top = [[each["logprob"] for each in entry["top_logprobs"]] for entry in entries]
        return Answer(
            "".join(each.text for each in events if isinstance(each, Text)),
            next(each.usage for each in events if isinstance(each, Done)),
            list(sequence.generated),
            [likeliest - next_one for likeliest, next_one in top],
        )

    def tokens(self, messages: tuple[Message, ...]) -> Tokens:
        """The prompt of a conversation."""
        return self.loaded.prompt(Request(messages), self.loop._shared_status.render_limit).tokens

    def forget(self) -> None:
        """Drop everything that was read, on disk as well."""
        self.loop._scheduler.free_memory([])
        shutil.rmtree(PATHS.cache / "prefixes", ignore_errors=True)


def question(words: int) -> Message:
    """Some words."""
    return Message("user", " ".join(RANDOM.choices(WORDS, k=words)))


def talks() -> dict[str, Any]:
    """Twenty turns: tokens read beyond what changed, of each; the same answers where all is read again."""
    engine = Engine()
    messages: tuple[Message, ...] = (Message("system", "Be brief. " + " ".join(WORDS)),)
    beyond, others, asked, most = [], {}, [], 0

    def say(conversation: tuple[Message, ...]) -> tuple[Answer, int]:
        changed = len(engine.tokens(conversation)) - common_prefix(engine.tokens(conversation), engine.held)
        (answer,) = engine.ask(conversation)
        return answer, answer.n_read - changed

    for number in range(20):
        messages = (*messages, question(RANDOM.randint(4, 30)))
        answer, read = say(messages)
        asked.append((messages, answer))
        beyond.append(read)
        if number == 9:
            others["again"] = say(messages)[1]
            others["edited"] = say((*messages[:-1], question(9)))[1]
            others["back"] = say(messages)[1]
        messages = (*messages, Message("assistant", answer.text or "."))
        most = max(most, engine.checkpoints.n_bytes)
    others["tenth, again"] = say(asked[9][0])[1]
    others["tenth, edited"] = say((*asked[9][0][:-1], question(9)))[1]
    gaps = []
    for number in (0, 1, 9, 19):
        engine.forget()
        (answer,) = engine.ask(asked[number][0])
        assert not answer.usage["cached_tokens"]
        gaps.append(asked[number][1].gap_to(answer))
    limit, size = engine.checkpoints.limit, max(len(each.state) for each in engine.checkpoints._held)
    engine.loop._scheduler.free_memory([])
    left = engine.checkpoints.n_bytes
    return {"beyond": beyond, "others": others, "gaps": gaps, "most": most, "limit": limit, "left": left, "size": size}


def is_bounded() -> dict[str, Any]:
    """The same where only two checkpoints fit: how many were held at most, and whether answers still come."""
    engine = Engine()
    messages: tuple[Message, ...] = (question(40),)
    engine.ask(messages)
    limit = engine.checkpoints.limit = 2 * max(len(each.state) for each in engine.checkpoints._held)
    read = []
    for _ in range(4):
        (answer,) = engine.ask(messages)
        read.append(answer.n_read)
        messages = (*messages, Message("assistant", answer.text or "."), question(12))
        assert engine.checkpoints.n_bytes <= limit
    return {"held": len(engine.checkpoints), "read": read}


def shares() -> dict[str, Any]:
    """Questions under the same instructions, asked at once: what of the prompts came from elsewhere; equal answers."""
    engine = Engine()
    instructions = Message("system", "Judge. " + " ".join(WORDS * 3))
    asked = [(instructions, question(8)) for _ in range(6)]
    together = engine.ask(*asked, is_batch=True)
    shared = [each.usage["cached_tokens"] for each in together]
    engine.forget()
    alone = []
    for each in asked:
        alone += engine.ask(each)
        engine.forget()
    gaps = [one.gap_to(other) for one, other in zip(together, alone, strict=True)]
    return {"shared": shared, "gaps": gaps}


class Guesses:
    """Drafts what the answer really says, with a wrong token now and then."""

    truth: ClassVar[list[int]] = []

    def __init__(self, _tokens: Any) -> None:
        self.at = 0

    def add(self, _token: int, *, is_forced: bool = False) -> None:
        """A token of the answer."""
        self.at += 1

    def propose(self, limit: int, *_others: Any) -> list[int]:
        """A draft."""
        draft = self.truth[self.at : self.at + RANDOM.randint(0, limit)]
        if draft and RANDOM.random() < 0.6:
            draft[RANDOM.randrange(len(draft))] = RANDOM.randrange(1000, 20000)
        return draft


def drafts(**settings: Any) -> list[tuple[float, int, int]]:
    """Of some questions, how sure the answer was where drafts changed it; drafted and accepted tokens."""
    engine, seen = Engine(**settings), []
    for _ in range(3):
        asked = (question(12),)
        (plain,) = engine.ask(asked, max_tokens=32, speculate=False)
        Guesses.truth = plain.tokens
        (drafted,) = engine.ask(asked, max_tokens=32)
        seen.append((plain.gap_to(drafted), drafted.usage["drafted_tokens"], drafted.usage["accepted_tokens"]))
    return seen


def resumes() -> dict[str, Any]:
    """A named conversation after a restart, and after one whose file was cut short."""
    engine = Engine()
    engine.forget()
    messages: tuple[Message, ...] = (Message("system", "Be brief. " + " ".join(WORDS)), question(20))
    (answer,) = engine.ask(messages, keep="talk")
    messages = (*messages, Message("assistant", answer.text or "."), question(5))
    held = engine.held
    after = Engine()
    changed = len(after.tokens(messages)) - common_prefix(after.tokens(messages), held)
    (one,) = after.ask(messages, keep="talk")
    for file in (PATHS.cache / "prefixes").glob("*.kv"):
        file.write_bytes(file.read_bytes()[:-9])
    damaged = Engine()
    (two,) = damaged.ask(messages, keep="talk")
    return {"beyond": one.n_read - changed, "cached": two.usage["cached_tokens"], "gap": one.gap_to(two)}


found = {"talks": talks(), "bounded": is_bounded(), "shares": shares(), "resumes": resumes()}
setattr(speculative, "Drafter", Guesses)  # noqa: B010 - for a type checker, the module does not export it
found["drafts"] = {"states": drafts(), "copies": drafts(n_rollback=0)}
sys.stdout.write(json.dumps(found))
sys.stdout.flush()
os._exit(0)
