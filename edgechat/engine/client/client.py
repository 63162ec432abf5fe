"""The engine client: one connection, answers as iterators of events, recovery when the engine dies.

An import contract keeps numpy, pydantic, jinja2, textual and huggingface_hub out of this module and those below it.
Control characters are removed from the text here, for every front end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.client import exit_report
from edgechat.engine.client.connection import HANDSHAKE_S, EngineConnection, EngineGoneError
from edgechat.engine.client.launch import attach_or_start
from edgechat.engine.client.recovery import Recovery
from edgechat.engine.client.resume import PartialAnswer
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.errors import to_error
from edgechat.engine.protocol.events import Done, Event, Prefilled, Queued, Recovered, Text, from_frame
from edgechat.engine.state import exit_reason
from edgechat.errors import (
    DeadlineError,
    EngineBusyError,
    EngineError,
    EngineProtocolError,
    ModelBusyError,
    NoModelError,
)
from edgechat.ownership import open_own
from edgechat.plaintext import clean
from edgechat.version import __version__

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Request
    from edgechat.paths import Paths

_STOP_TIMEOUT_S = 5.0

_RESTART_S = 15.0
"""How long to wait for the machine's own engine when it died: its service restarts it within 5 s, then it must load."""

_DEADLINE_GRACE_S = 0.1
"""The engine enforces the deadline itself and reports more; the client acts only when the engine does not."""


class EngineClient:
    """Answers from the engine of this user. Not thread-safe, but for :meth:`interrupt`; one answer at a time.

    Args:
        paths: the user's directories.
        keeps: this client stays connected: others must confirm before they replace the model that it uses.
        keep_alive_s: how long the engine stays idle afterwards; None changes nothing.
        may_switch: decides whether to replace a resident model that another client keeps; gets the question as text.
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
        self._link: EngineConnection | None = None
        self._shared = paths.shared
        """Directory of the machine's own engine, tried first; None once it turned out to be unsuitable."""
        self._next_id = 0
        self._has_shared = False
        self._link_busy = False
        self._is_interrupted = False
        self._unreported: list[Recovered] = []
        """Engines that died before they got a request; reported with the next answer."""

    def close(self) -> None:
        """Disconnect."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def interrupt(self) -> None:
        """Cancel the running answer from any thread: its reader gets an EngineError. The client cannot be reused."""
        self._is_interrupted = True
        if (link := self._link) is not None:
            link.shut_down()

    def generate(self, request: Request) -> Iterator[Event]:
        """One answer. Closing the iterator cancels it.

        The engine is started, replaced or restarted as needed. When the engine dies, the answer continues after the
        tokens that have arrived: once, and once more each time that it ran out of memory and a smaller plan is left.

        Raises:
            EngineError: the engine could not be started, or died twice over this request.
            EdgechatError: whatever the engine refused the request with, as the class it raised.
        """
        if request.overflow != "summarize":
            return self._answer(request)
        from edgechat.engine.client.summarize import answer_with_summary  # noqa: PLC0415 - rarely needed

        return answer_with_summary(self._answer, request)

    def prefill(self, request: Request) -> Prefilled:
        """Read a prompt into the KV cache and generate nothing, at the lowest priority.

        Returns:
            How far it got: a request that is to be answered stops it. Asked again, it goes on.

        Raises:
            EdgechatError: as :meth:`generate`.
        """
        events = self.generate(replace(request, prefill_only=True))
        return next((each for each in list(events) if isinstance(each, Prefilled)), Prefilled(0, 0, 0, is_kept=False))

    def _answer(self, request: Request) -> Iterator[Event]:
        received = PartialAnswer(request)
        recovery = Recovery()
        try:
            while True:
                try:
                    for event in self._attempt(received.remainder()):
                        received.add(event)
                        if isinstance(event, Text):
                            event = replace(event, text=clean(event.text))  # noqa: PLW2901
                        elif isinstance(event, Done) and event.finish_reason == "stop" and received.is_missing:
                            event = replace(event, finish_reason="empty")  # noqa: PLW2901
                        yield event
                    return
                except EngineGoneError as gone:
                    link = self._link
                    self.close()
                    if self._is_interrupted:
                        raise _interrupted() from gone
                    if not recovery.asks_again(gone.reason):
                        yield recovery.after_death(self._exit_reason(gone.reason, link))
        finally:
            # The rest of an unfinished answer would precede the next one.
            if self._link is not None and self._link_busy:
                self.close()

    def _attempt(self, request: Request) -> Iterator[Event]:
        deadline = None if request.timeout_s is None else time.monotonic() + request.timeout_s + _DEADLINE_GRACE_S
        link = self._post(request)
        while True:
            while self._unreported:
                yield self._unreported.pop(0)
            answer = _receive(link, deadline)
            self._link_busy = answer["type"] not in {"switch", "error", "done"}
            if link.is_shared and (answer["type"] == "switch" or _lacks_model(answer)):
                # The machine's engine has another model, which this client may not change.
                self.close()
                self._shared = None
                yield Queued("the machine's own engine has another model; starting one for this user")
                link = self._post(request)
                continue
            if answer["type"] == "switch":
                # May come late: another client's model was still being loaded when the request was sent.
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

    def _post(self, request: Request) -> EngineConnection:
        link = self._connected()
        if self._is_interrupted:  # while there was no connection to close yet
            raise _interrupted()
        self._next_id += 1
        frame: Frame = {"type": "generate", "id": self._next_id, "request": request.to_dict()}
        if self._keep_alive_s is not None:
            frame["keep_alive"] = self._keep_alive_s
        self._link_busy = True
        link.send(frame)
        return link

    def _connected(self) -> EngineConnection:
        until = time.monotonic() + HANDSHAKE_S
        replaced = False
        if self._link is None:
            self._link = self._shared_link()
        while self._link is None:
            peer = attach_or_start(self._paths)
            supervisor = unix_socket.supervisor_pid(peer)
            try:
                link = EngineConnection(peer, keeps=self._keeps)
            except EngineGoneError as gone:
                if gone.reason == "busy":
                    raise EngineBusyError(
                        "The engine has as many clients as it can serve.", cause="busy", hint="Try again in a moment."
                    ) from gone
                if gone.reason is None and (note := exit_report.wait_for(self._paths.state, "", supervisor)):
                    self._report_early_exit(note)
                    continue
                # The engine was exiting. It removes its socket; connect again.
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
                # An engine of another version, or from before an update, finishes its answers and exits.
                self._retire(link)
                replaced = True
        return self._link

    def _report_early_exit(self, note: exit_reason.ExitReason) -> None:
        """Report with the next answer that an engine died before the handshake.

        Raises:
            EngineError: the engine before it died in the same way.
        """
        message = exit_report.sentence(note, again=bool(self._unreported))
        if self._unreported:
            self._unreported.clear()
            raise EngineError(message, cause=note.cause, hint="See `edgechat doctor`.")
        self._unreported.append(Recovered(note.cause, f"{message} It had not been asked yet. Another was started."))

    def _shared_link(self) -> EngineConnection | None:
        """A connection to the machine's own engine, where this user may use it and its version is the same."""
        until = time.monotonic() + (_RESTART_S if self._has_shared else 0)
        while True:
            if peer := unix_socket.connect_shared(self._shared):
                with contextlib.suppress(EngineGoneError):
                    link = EngineConnection(peer, keeps=self._keeps)
                    if link.is_same_version:
                        self._has_shared = link.is_shared = True
                        return link
                    link.close()
                    self._shared = None
            # It died during an answer: wait for its service to restart it, since two engines would share the memory.
            if self._shared is None or time.monotonic() >= until:
                return None
            time.sleep(0.1)

    def _switch(self, link: EngineConnection, answer: Frame, deadline: float | None) -> Iterator[Event]:
        resident, wanted = answer["resident"], answer["wanted"]
        if resident == wanted:
            resident = f"{resident} with n_ctx {answer['resident_n_ctx']}"
            wanted = f"{wanted} with n_ctx {answer['wanted_n_ctx']}"
        question = f"{resident} is in use by {answer['others']} other client(s). Replace it by {wanted}?"
        if answer["others"] and not (self._may_switch and self._may_switch(question)):
            raise ModelBusyError(
                f"{resident} is resident and another client keeps it; {wanted} cannot be loaded beside it.",
                hint=f"Ask it with -m {answer['resident']}, close the other client, or run `edgechat stop`.",
            )
        yield Queued(f"waiting for {resident} to finish, then loading {wanted}")
        self._retire(link, deadline)
        self._link = None

    def _retire(self, link: EngineConnection, deadline: float | None = None) -> None:
        try:
            link.send({"type": "retire"})
            while True:
                _receive(link, deadline)
        except EngineGoneError:
            link.close()

    def _exit_reason(self, goodbye: str | None, link: EngineConnection | None) -> exit_reason.ExitReason:
        note = None
        if goodbye is None and link is not None and not link.is_shared:  # another user's state directory is private
            note = exit_report.wait_for(self._paths.state, link.engine, link.supervisor)
        return note or exit_reason.ExitReason(link.engine if link else "", goodbye or "unknown", "", "idle", 0.0)


def _receive(link: EngineConnection, deadline: float | None) -> Frame:
    """The next frame of an answer.

    Raises:
        DeadlineError: the engine itself did not end the answer in time (it is in a long step, or still loading).
    """
    answer = link.receive(None if deadline is None else max(deadline - time.monotonic(), 0.0))
    if answer is None:
        raise DeadlineError("The time allowed for the answer ran out.", hint="Allow more with --timeout.")
    return answer


def status(paths: Paths) -> list[Frame]:
    """Status frames of the running engines: this user's own, then the machine's; empty when none runs.

    Raises:
        StateError: the state directory cannot be read.
    """
    return [*_ask_status(unix_socket.connect(paths.state)), *_ask_status(unix_socket.connect_shared(paths.shared))]


def _ask_status(peer: socket.socket | None) -> list[Frame]:
    if peer is None:
        return []
    try:
        with contextlib.closing(EngineConnection(peer, keeps=False)) as link:
            link.send({"type": "status"})
            answer = link.receive(timeout_s=HANDSHAKE_S)
    except EngineGoneError:
        return []
    return list(answer["engines"]) if answer else []


def stop(paths: Paths) -> list[int]:
    """Stop the running engines and return their process ids; returns when they are gone.

    An engine that does not answer within 5 s is killed.
    """
    peer = unix_socket.connect(paths.state)
    if peer is None:
        return []
    group = unix_socket.process_group(peer)
    pids: list[int] = []
    try:
        with contextlib.closing(EngineConnection(peer, keeps=False, timeout_s=_STOP_TIMEOUT_S)) as link:
            pids.append(link.pid)
            link.send({"type": "stop"})
            until = time.monotonic() + _STOP_TIMEOUT_S
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


def _wait_for_lock(state: Path, timeout_s: float = 5.0) -> None:
    """Wait until the engine's lock is free: only then has it released the model file and its memory."""
    import fcntl  # noqa: PLC0415

    lock = open_own(state / "engine.lock", os.O_RDWR | os.O_CREAT)
    try:
        until = time.monotonic() + timeout_s
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


def _interrupted() -> EngineError:
    return EngineError("The answer was cancelled by the caller.", cause="interrupted")
