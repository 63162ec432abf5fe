"""Runs the decode loop over the starter, step by step: run as a module, prints what was seen as JSON.

llama.cpp, which the loop loads, must not be loaded into the process of a test.
"""

import json
import os
import sys
from typing import Any

from edgechat.board.probe.probe import probe
from edgechat.config import Config
from edgechat.engine.decoding.loaded_model import LoadedModel
from edgechat.engine.decoding.loop import DecodeLoop
from edgechat.engine.decoding.request_loop import LoopServices
from edgechat.engine.decoding.request_queue import RequestQueue
from edgechat.engine.native.vision import Picture, View
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state.metrics import Metrics
from edgechat.engine.state.oom_history import OomHistory
from edgechat.engine.state.shared_status import SharedStatus
from edgechat.engine.throttle.monitor import ThrottleMonitor
from edgechat.engine.throttle.thread_governor import Governor
from edgechat.paths import Paths


class Reader:
    """Whoever asks."""

    is_open = True
    keeps = False

    def __init__(self) -> None:
        self.refusals: list[Any] = []
        self.events: list[tuple[int, str]] = []
        """Request and kind of each event, in their order."""

    def send(self, event: Any, request_id: int) -> None:
        """An event of an answer."""
        self.events.append((request_id, type(event).__name__))

    def send_frame(self, frame: Any) -> None:
        """A refusal."""
        self.refusals.append(frame)


PATHS = Paths.from_env(os.environ)
CHOICE = choose(Wish(n_ctx=1024), paths=PATHS, config=Config(), board=probe(), offload=False, oom_history=OomHistory())
HOME = LoadedModel(CHOICE, PATHS, on_progress=lambda _fraction: True)
REQUESTS = RequestQueue()
SERVICES = LoopServices(
    REQUESTS,
    Governor(1),
    SharedStatus(),
    mismatch=lambda _wish, _connection: None,
    monitor=ThrottleMonitor(),
    metrics=Metrics(),
)
LOOP = DecodeLoop(HOME, SERVICES)
READER: Any = Reader()


def prepared() -> int:
    """Requests that run or wait to."""
    return LOOP.n_active - len(REQUESTS)


def several_beside_one() -> list[int]:
    """How many are prepared after each step, where five come while one runs."""
    request = Request((Message("user", "What is the capital of France?"),), sampling={"temperature": 0}, max_tokens=64)
    REQUESTS.put(READER, 0, request)
    LOOP.step(0.0)
    for number in range(1, 6):
        REQUESTS.put(READER, number, request)
    seen = []
    for _ in range(3):
        LOOP.step(0.0)
        seen.append(prepared())
    REQUESTS.cancel(READER, None)
    LOOP.step(0.0)
    return [*seen, LOOP.n_active]


def looks_at_a_trimmed_talk() -> int:
    """How often the one picture of a talk is decoded that has to be trimmed."""
    looks = []

    def look(image: str) -> Picture:
        looks.append(image)
        return Picture((-1, -2), {-1: View(None, 2, 2, None)})

    HOME.encode_image = look  # type: ignore[method-assign]
    words = "one two three " * 20
    turns = [
        Message(role, words, ("picture",) if number == 39 and role == "user" else ())
        for number in range(40)
        for role in ("user", "assistant")
    ][:-1]
    REQUESTS.put(READER, 9, Request(tuple(turns), overflow="trim"))
    LOOP._take_requests(0.0)
    assert prepared() == 1, READER.refusals
    return len(looks)


def a_large_enum_beside_one() -> dict[str, Any]:
    """What an answer and a later question got while the enum of a third request was compiled."""
    question = (Message("user", "What is the capital of France?"),)
    enum = {"json_schema": {"enum": [f"PART-{number:05d}" for number in range(19_000)]}}
    REQUESTS.put(READER, 20, Request(question, sampling={"temperature": 0}, max_tokens=400))
    LOOP.step(0.0)
    READER.events.clear()
    REQUESTS.put(READER, 21, Request(question, sampling={"temperature": 0}, max_tokens=20, constraint=enum))
    LOOP.step(0.0)
    REQUESTS.put(READER, 22, Request(question, sampling={"temperature": 0}, max_tokens=2))
    while (21, "Done") not in READER.events:
        LOOP.step(0.0)
    before = READER.events[: READER.events.index((21, "Started"))]
    REQUESTS.cancel(READER, None)
    LOOP.step(0.0)
    return {"running": before.count((20, "Text")) > 1, "later": (22, "Done") in before, "refused": READER.refusals}


SEEN = {
    "prepared": several_beside_one(),
    "enum": a_large_enum_beside_one(),
    "looks": looks_at_a_trimmed_talk(),
}
sys.stdout.write(json.dumps(SEEN))
sys.stdout.flush()
os._exit(0)
