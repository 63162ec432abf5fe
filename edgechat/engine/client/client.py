"""The front ends' side of the engine: one connection, answers as iterators of events, recovery when the engine dies.

Light by contract: no numpy, pydantic, jinja2, textual or huggingface_hub is imported here or below. Text is cleaned of
control characters here, once, for every front end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.client import exit_report
from edgechat.engine.client.connection import HANDSHAKE_S, EngineGoneError, Link
from edgechat.engine.client.launch import attach_or_start
from edgechat.engine.client.resume import Received
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.errors import to_error
from edgechat.engine.protocol.events import Done, Event, Queued, Recovered, Text, from_frame
from edgechat.engine.state import exit_reason
from edgechat.errors import (
    DeadlineError,
    EngineBusyError,
    EngineError,
    EngineProtocolError,
    ModelBusyError,
    NoModelError,
)
from edgechat.plaintext import clean
from edgechat.version import __version__

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Request
    from edgechat.paths import Paths

_PEACEFUL = frozenset(("idle", "memory", "refused", "retired", "version"))
"""Farewells that are nobody's fault."""

_MAX_FAREWELLS = 20
"""More in a row than any race of clients explains."""

_STOP_PATIENCE_S = 5.0

_RETURN_S = 15.0
"""How long the machine's own engine is waited for when it died: its service looks every 5 s, and it must load."""

_DEADLINE_GRACE_S = 0.1
"""The engine watches the deadline too and says more about it; the client steps in only when it cannot."""


class EngineClient:
    """Answers from the engine of this user. Not thread-safe, but for :meth:`interrupt`; one answer at a time.

    Args:
        paths: whose engine.
        keeps: this client means to stay, so a switch of models should ask before it takes the resident one away.
        keep_alive_s: how long the engine stays idle afterwards; None leaves it as it is.
        may_switch: decides whether a resident model that another client keeps may be replaced; gets a sentence.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        keeps: bool = False,
        keep_alive_s: float | None = None,
        may_switch: Callable[[str], bool] | None = None,
    ) -> None:
        self._paths = paths
        self._keeps = keeps
        self._keep_alive_s = keep_alive_s
        self._may_switch = may_switch
        self._link: Link | None = None
        self._shared = paths.shared
        """Where the machine's own engine is tried first; None once it turned out not to do for this client."""
        self._next_id = 0
        self._has_shared = False
        self._link_busy = False
        self._is_interrupted = False
        self._unsaid: list[Recovered] = []
        """Deaths of engines that had not been asked anything yet."""

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def interrupt(self) -> None:
        """Cut the running answer off, from any thread: its reader gets an EngineError. Nothing can be asked later."""
        self._is_interrupted = True
        if (link := self._link) is not None:
            link.hang_up()

    def generate(self, request: Request) -> Iterator[Event]:
        """One answer. Closing the iterator cancels it.

        The engine is started, replaced or brought back as needed; an answer that an engine's death interrupted goes on
        from the tokens that had arrived: once, and again after each death of memory that leaves only smaller plans.
        Such a request is not the one that killed; the ladder of plans ends, and with it the tries.

        Raises:
            EngineError: the engine could not be started, or died twice over this request.
            EdgechatError: whatever the engine refused the request with, as the class it raised.
        """
        if request.overflow != "summarize":
            return self._answer(request)
        from edgechat.engine.client.summarize import summarized  # noqa: PLC0415 - few ask for it

        return summarized(self._answer, request)

    def _answer(self, request: Request) -> Iterator[Event]:
        received = Received(request)
        deaths = 0
        farewells = 0
        smallest: int | None = None
        try:
            while True:
                try:
                    for event in self._attempt(received.remainder()):
                        received.take(event)
                        if isinstance(event, Text):
                            event = replace(event, text=clean(event.text))  # noqa: PLW2901
                        yield event
                    return
                except EngineGoneError as gone:
                    link = self._link
                    self.close()
                    if self._is_interrupted:
                        raise _cut_off() from gone
                    if gone.reason in _PEACEFUL and farewells < _MAX_FAREWELLS:
                        farewells += 1
                        continue  # it left just as we came: the next one takes over
                    cause = self._cause(gone.reason, link)
                    is_smaller = 0 < cause.stepped_below < (smallest or cause.stepped_below + 1)
                    if is_smaller:
                        smallest = cause.stepped_below
                    else:
                        deaths += 1
                    said = exit_report.said(cause, again=deaths > 1)
                    if deaths > 1 or cause.cause == "stopped":
                        raise EngineError(said, cause=cause.cause, hint="See `edgechat doctor`.") from gone
                    note = "A smaller plan is tried." if is_smaller else "It was restarted and continued."
                    yield Recovered(cause.cause, f"{said} {note}")
        finally:
            # A half-read answer would stand in the way of the next one.
            if self._link is not None and self._link_busy:
                self.close()

    def _attempt(self, request: Request) -> Iterator[Event]:
        deadline = None if request.timeout_s is None else time.monotonic() + request.timeout_s + _DEADLINE_GRACE_S
        link = self._post(request)
        while True:
            while self._unsaid:
                yield self._unsaid.pop(0)
            answer = _receive(link, deadline)
            self._link_busy = answer["type"] not in {"switch", "error", "done"}
            if link.is_shared and (answer["type"] == "switch" or _lacks_model(answer)):
                # The machine's engine has another model; it is not ours to change.
                self.close()
                self._shared = None
                yield Queued("the machine's own engine has another model; starting one for this user")
                link = self._post(request)
                continue
            if answer["type"] == "switch":
                # May come late: another client's model was still being loaded when we asked.
                yield from self._switch(link, answer, deadline)
                link = self._post(request)
                continue
            if answer["type"] == "error":
                raise to_error(answer)
            event = from_frame(answer)
            if event is None:
                raise EngineProtocolError(f"The engine sent an unexpected {answer['type']!r}.")
            yield event
            if isinstance(event, Done):
                return

    def _post(self, request: Request) -> Link:
        link = self._connected()
        if self._is_interrupted:  # while there was no connection yet to hang up
            raise _cut_off()
        self._next_id += 1
        frame: Frame = {"type": "generate", "id": self._next_id, "request": request.to_dict()}
        if self._keep_alive_s is not None:
            frame["keep_alive"] = self._keep_alive_s
        self._link_busy = True
        link.send(frame)
        return link

    def _connected(self) -> Link:
        until = time.monotonic() + HANDSHAKE_S
        replaced = False
        if self._link is None:
            self._link = self._shared_link()
        while self._link is None:
            peer = attach_or_start(self._paths)
            warden = unix_socket.warden(peer)
            try:
                link = Link(peer, keeps=self._keeps)
            except EngineGoneError as gone:
                if gone.reason == "busy":
                    raise EngineBusyError(
                        "The engine has as many clients as it can serve.", cause="busy", hint="Try again in a moment."
                    ) from gone
                if gone.reason is None and (note := exit_report.find(self._paths.state, "", warden)):
                    self._note_unasked(note)
                    continue
                # We knocked at an engine that was leaving. It takes its socket with it; ask again.
                if time.monotonic() > until:
                    raise EngineError("The engine does not answer.", hint="Run `edgechat stop`.") from None
                time.sleep(0.02)
                continue
            if link.is_same_version:
                self._link = link
            elif replaced:
                link.close()
                other = f"version {link.version}" if link.version != __version__ else "of another state of the code"
                raise EngineProtocolError(
                    f"This is edgechat {__version__}, but the engine that it starts is {other}.",
                    hint="Two installations share one environment: reinstall edgechat.",
                )
            else:
                # An engine of another version, or from before an update, finishes what it runs and makes room.
                self._retire(link)
                replaced = True
        return self._link

    def _note_unasked(self, note: exit_reason.Death) -> None:
        """Have it said that an engine died before it greeted us.

        Raises:
            EngineError: so did the one before it.
        """
        said = exit_report.said(note, again=bool(self._unsaid))
        if self._unsaid:
            self._unsaid.clear()
            raise EngineError(said, cause=note.cause, hint="See `edgechat doctor`.")
        self._unsaid.append(Recovered(note.cause, f"{said} It had not been asked yet. Another was started."))

    def _shared_link(self) -> Link | None:
        """The machine's own engine, when this user may use it and it speaks as we do."""
        until = time.monotonic() + (_RETURN_S if self._has_shared else 0)
        while True:
            if peer := unix_socket.connect_shared(self._shared):
                with contextlib.suppress(EngineGoneError):
                    link = Link(peer, keeps=self._keeps)
                    if link.is_same_version:
                        self._has_shared = link.is_shared = True
                        return link
                    link.close()
                    self._shared = None
            # It died under our answer: its service brings it back, and two engines would share the memory.
            if self._shared is None or time.monotonic() >= until:
                return None
            time.sleep(0.1)

    def _switch(self, link: Link, answer: Frame, deadline: float | None) -> Iterator[Event]:
        resident, wanted = answer["resident"], answer["wanted"]
        if resident == wanted:
            resident = f"{resident} with n_ctx {answer['resident_n_ctx']}"
            wanted = f"{wanted} with n_ctx {answer['wanted_n_ctx']}"
        question = f"{resident} is in use by {answer['others']} other client(s). Replace it by {wanted}?"
        if answer["others"] and not (self._may_switch and self._may_switch(question)):
            raise ModelBusyError(
                f"{resident} is resident and another client keeps it; {wanted} cannot be loaded beside it.",
                hint="Ask without -m, close the other client, or run `edgechat stop`.",
            )
        yield Queued(f"waiting for {resident} to finish, then loading {wanted}")
        self._retire(link, deadline)
        self._link = None

    def _retire(self, link: Link, deadline: float | None = None) -> None:
        try:
            link.send({"type": "retire"})
            while True:
                _receive(link, deadline)
        except EngineGoneError:
            link.close()

    def _cause(self, farewell: str | None, link: Link | None) -> exit_reason.Death:
        note = None
        if farewell is None and link is not None and not link.is_shared:  # another user's notes are not ours to read
            note = exit_report.find(self._paths.state, link.engine, link.warden)
        return note or exit_reason.Death(link.engine if link else "", farewell or "unknown", "", "idle", 0.0)


def _receive(link: Link, deadline: float | None) -> Frame:
    """The next frame of an answer.

    Raises:
        DeadlineError: the engine itself did not end the answer in time (it is in a long step, or still loading).
    """
    answer = link.receive(None if deadline is None else max(deadline - time.monotonic(), 0.0))
    if answer is None:
        raise DeadlineError("The time allowed for the answer ran out.", hint="Allow more with --timeout.")
    return answer


def status(paths: Paths) -> list[Frame]:
    """What the running engines are and do: this user's own, then the machine's; empty when none runs.

    Raises:
        StateError: the state directory cannot be read.
    """
    return [*_ask_status(unix_socket.connect(paths.state)), *_ask_status(unix_socket.connect_shared(paths.shared))]


def _ask_status(peer: socket.socket | None) -> list[Frame]:
    if peer is None:
        return []
    try:
        with contextlib.closing(Link(peer, keeps=False)) as link:
            link.send({"type": "status"})
            answer = link.receive(timeout_s=HANDSHAKE_S)
    except EngineGoneError:
        return []
    return list(answer["engines"]) if answer else []


def stop(paths: Paths) -> list[int]:
    """Stop the running engines and return their process ids; returns when they are gone.

    One that does not answer within 5 s is killed: it hangs, and its next client would wait for ever.
    """
    peer = unix_socket.connect(paths.state)
    if peer is None:
        return []
    group = unix_socket.process_group(peer)
    pids: list[int] = []
    try:
        with contextlib.closing(Link(peer, keeps=False, patience_s=_STOP_PATIENCE_S)) as link:
            pids.append(link.pid)
            link.send({"type": "stop"})
            until = time.monotonic() + _STOP_PATIENCE_S
            while link.receive(timeout_s=max(until - time.monotonic(), 0.0)) is not None:
                pass
    except EngineGoneError as gone:
        if gone.reason is not None:
            _wait_for_lock(paths.state)
            return pids
    if group is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    _wait_for_lock(paths.state)
    return pids or ([group] if group else [])


def _wait_for_lock(state: Path, patience_s: float = 5.0) -> None:
    """Wait until the engine's lock is free: only then has it let go of the model file and its memory."""
    import fcntl  # noqa: PLC0415

    lock = os.open(state / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return
    finally:
        os.close(lock)


def _lacks_model(answer: Frame) -> bool:
    return answer["type"] == "error" and isinstance(to_error(answer), NoModelError)


def _cut_off() -> EngineError:
    return EngineError("The answer was cut off by whoever had asked.", cause="interrupted")
