"""The engine process: ``python -m edgechat.engine.process.main``, started by a client, one per user.

It forks at once. The parent, the *warden* (``warden.py``), waits and writes down why the engine ended. The child is the
engine: it listens, chooses a plan, loads the model, and decodes until it is told to stop, has been idle for long
enough, or dies.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import queue
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgechat.engine.listener import guests
from edgechat.engine.listener.answer_log import AnswerLog
from edgechat.engine.listener.connections import Connection, Listener
from edgechat.engine.process import supervisor
from edgechat.engine.process.loading_queue import Lobby
from edgechat.engine.process.model_switch import mismatch
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.protocol.events import Loading
from edgechat.engine.protocol.request import Request, Wish
from edgechat.engine.protocol.version import WHO
from edgechat.engine.state import exit_reason, log, oom_history, pressure_history
from edgechat.engine.state.metrics import Figures
from edgechat.engine.state.shared_status import Vital
from edgechat.engine.throttle import memory_pressure
from edgechat.engine.throttle.monitor import Carer
from edgechat.engine.throttle.thread_governor import Governor
from edgechat.errors import EdgechatError, EngineError, EngineProtocolError, InvalidInputError, InvalidModelFileError
from edgechat.garbage_collector import look_seldom
from edgechat.paths import Paths
from edgechat.version import __version__

if TYPE_CHECKING:
    import socket

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.decoding.loop import Inbox
    from edgechat.engine.process.load import Home, Loop
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.selection.model_choice import Choice

LOCK = "engine.lock"
_IDLE_TURN_S = 0.5
_TIGHT_CHECK_S = 5.0
_PROGRESS_S = 0.05
"""Between two words on how far loading is: a mapped file is loaded within milliseconds, tensor by tensor."""
_FIRST_CLIENT_S = 10.0
"""A new engine waits this long for the client that started it."""


class Host:
    """The engine's side of everything that is not decoding: clients, life and death."""

    def __init__(self, server: socket.socket, paths: Paths, config: Config, vital: Vital, engine: str) -> None:
        from edgechat.config import seconds  # noqa: PLC0415 - keeps the warden's memory small

        self._paths, self._config, self._vital, self._engine = paths, config, vital, engine
        self._log_start = log.path(paths.state).stat().st_size
        self._keep_alive = seconds(config.keep_alive)
        self._carer, self._figures = Carer(paths.state), Figures.open(paths.state)
        self._tokens_before = self._figures.tokens["completion_tokens"]
        self._listener = Listener(server, on_frame=self._on_frame, on_gone=self._on_gone, on_tick=self._on_tick)
        self._listener.share(unix_socket.listen_shared(paths.shared))
        self._listener.answers = AnswerLog(paths.state, config.log_answers)
        self._inbox: Inbox = queue.SimpleQueue()
        self._lobby = Lobby(self._inbox)
        self._loop: Loop | None = None
        self._home: Home | None = None
        self._choice: Choice | None = None
        self._farewell: str | None = None
        """Why the engine is about to leave at once: ``stopped``, ``idle``, ``memory``, ``retired``."""
        self._retiring = False
        self._next_progress = 0.0
        self._began = time.monotonic()
        self._next_tight_check = 0.0

    def run(self) -> None:
        """Serve until it is time to leave."""
        self._listener.start()
        signal.signal(signal.SIGTERM, lambda *_: self._leave("stopped"))
        while (wish := self._first_wish()) is not None:
            try:
                loop = self._load(wish)
            except EdgechatError as error:
                self._vital.stage = "idle"
                if self._farewell is None and self._lobby.refuse(wish, error):  # else `stop` broke loading off
                    self._leave("refused")
            else:
                self._serve(loop)
        self._figures.save(time.monotonic(), at_once=True)
        # The name goes first, so that nobody knocks any more; the weights go before the farewell, so that whoever hears
        # it finds the memory free.
        unix_socket.remove(self._paths.state)
        if self._home is not None:
            self._home.close()
        self._listener.close({"type": "bye", "reason": self._farewell or "idle"})

    # -- loading -------------------------------------------------------------------------------------------------------

    def _first_wish(self) -> Wish | None:
        """The wish of the first request, or None when it is time to leave before there was one."""
        until = time.monotonic() + _FIRST_CLIENT_S
        while self._farewell is None:
            if (wish := self._lobby.wish(0.2)) is not None:
                return wish
            if self._retiring:
                self._leave("retired")
            if time.monotonic() > until and not self._listener.connections:
                self._leave("idle")
        return None

    def _load(self, wish: Wish) -> Loop:
        from edgechat.board.probe.probe import probe  # noqa: PLC0415
        from edgechat.engine.native.lib import llama  # noqa: PLC0415 - llama.cpp enters the process here
        from edgechat.engine.process.load import loop_over, move_in  # noqa: PLC0415 - llama.cpp enters the process here
        from edgechat.engine.selection.gpu_probe import ask  # noqa: PLC0415
        from edgechat.engine.selection.model_choice import choose  # noqa: PLC0415
        from edgechat.locks import IN_USE, try_lock  # noqa: PLC0415

        self._vital.stage = "load"
        self._next_progress = 0.0
        # Its first look covers the time of loading, so that even the first step knows who else is computing.
        governor = Governor()
        while True:
            board = probe()
            choice = choose(
                wish,
                paths=self._paths,
                config=self._config,
                board=board,
                offload=bool(llama.llama_supports_gpu_offload()),
                stepped_down=oom_history.read(self._paths.state, board.boot_id),
                tight=pressure_history.read(self._paths.state),
                ask=ask,
            )
            self._choice = choice
            self._vital.note(
                label=choice.label,
                boot_id=board.boot_id,
                need=str(choice.plan.memory.host),
                on_device="yes" if choice.plan.settings.n_gpu_layers else "",
                log_start=str(self._log_start),
            )
            # Held for the process's life: `models rm` never takes a file that is loaded.
            lock = choice.path.parent / IN_USE
            self._in_use = try_lock(lock, shared=True) if lock.exists() else None
            try:
                self._home = move_in(
                    choice, self._paths, on_progress=self._on_weights, is_constrained=self._lobby.is_constrained
                )
                self._on_progress(1.0)
                break
            except EngineError as error:
                if self._farewell is not None:
                    raise
                self._after_failed_load(error, choice, board)
        plan = self._home.choice.plan
        settings = plan.settings
        governor.n_planned = max(settings.n_threads, settings.n_threads_batch)
        self._carer.n_planned, self._carer.n_ctx = governor.n_planned, settings.n_ctx
        self._carer.needed = plan.memory.mapped + plan.reserve
        self._figures.loaded()
        self._loop = loop_over(
            self._home,
            self._inbox,
            governor,
            self._vital,
            mismatch=self._mismatch,
            carer=self._carer,
            figures=self._figures,
        )
        self._vital.stage = "idle"
        self._lobby.open()
        return self._loop

    def _after_failed_load(self, error: EngineError, choice: Choice, board: Board) -> None:
        """Go on with the next smaller plan if memory was the cause, else raise what is wrong with the file."""
        tail = log.tail(self._paths.state, start=self._log_start)
        said = f"{tail}\n{error.message}"
        verdict = exit_reason.classify(self._engine, status=1, log_tail=said, oom_kills=0, stage="load")
        if verdict.cause == "oom" or error.cause == "oom":
            oom_history.record(self._paths.state, board.boot_id, choice.label, choice.plan.memory.host)
            # What was overcome here must not be taken for the cause of a later death.
            self._log_start = log.path(self._paths.state).stat().st_size
            return
        if error.cause != "load":
            raise error
        reason = exit_reason.last_error_line(tail) or error.message
        raise InvalidModelFileError(
            f"{choice.path.name} cannot be loaded: {reason}",
            hint="Check the file with `edgechat models verify`, or choose another model.",
        ) from error

    def _on_weights(self, fraction: float) -> bool:
        # The last hundredth is the context and its KV cache.
        return self._on_progress(0.99 * fraction)

    def _on_progress(self, fraction: float) -> bool:
        now = time.monotonic()
        if fraction >= 1 or now >= self._next_progress:
            self._next_progress = now + _PROGRESS_S
            name = self._choice.name if self._choice else ""
            self._lobby.tell(Loading(round(fraction, 3), name))
        return self._farewell is None

    # -- serving -------------------------------------------------------------------------------------------------------

    def _serve(self, loop: Loop) -> None:
        while self._farewell is None:
            loop.turn(_IDLE_TURN_S)
            if loop.n_active == 0 and (reason := self._reason_to_leave(time.monotonic() - loop.idle_since)):
                self._leave(reason)

    def _reason_to_leave(self, idle_s: float) -> str | None:
        if self._retiring:
            return "retired"
        if self._keep_alive == 0 and not self._listener.connections:
            return "idle"
        if self._keep_alive > 0 and idle_s > self._keep_alive:
            return "idle"
        now = time.monotonic()
        if self._keep_alive >= 0 and not self._listener.connections and now > self._next_tight_check:
            self._next_tight_check = now + _TIGHT_CHECK_S
            if memory_pressure.is_tight() or self._carer.stance.is_tight:
                return "memory"
        return None

    def _leave(self, reason: str) -> None:
        # Set by both threads, never taken back: whoever comes first has the last word.
        if self._farewell is None:
            self._farewell = reason

    # -- the listener's thread ----------------------------------------------------------------------------------------

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "hello":
            connection.is_greeted = all(frame.get(name) == value for name, value in WHO.items())
            connection.keeps = bool(frame.get("keeps")) and not connection.is_guest
            connection.send_frame({"type": "hello", **self._identity()})
        elif kind == "retire":
            self._retiring = True
            self._wake(connection)
        elif kind == "stop":
            self._leave("stopped")
            self._wake(connection)
        elif kind == "status":
            connection.send_frame({"type": "status", "engines": [self._status(connection)]})
        elif not connection.is_greeted:
            connection.send_frame({"type": "bye", "reason": "version"})
        elif kind == "generate":
            self._on_generate(connection, frame)
        elif kind == "cancel":
            if self._listener.intake.cancels(connection, frame.get("id")):
                self._lobby.post("cancel", connection, frame["id"])
        elif kind == "keep":
            self._keep(frame.get("seconds"))

    def _on_generate(self, connection: Connection, frame: Frame) -> None:
        request_id = frame.get("id")
        if not isinstance(request_id, int):
            raise EngineProtocolError("A request without a number cannot be answered.")
        try:
            if not isinstance(frame.get("request"), dict):
                raise InvalidInputError("The request is malformed: it is not an object.")
            request = Request.from_dict(frame["request"])
            if connection.is_guest:
                request = guests.granted(request)
            self._listener.intake.admit(connection, request_id, frame["n_bytes"])
        except EngineProtocolError:
            raise  # an answer under a number that is in use would be taken for that of the other request
        except EdgechatError as error:
            connection.send_frame(error_frame(error, request_id))
            return
        self._listener.answers.asked(id(connection), request_id, request)
        self._keep(frame.get("keep_alive"))
        self._lobby.post("generate", connection, (request_id, request))

    def _keep(self, seconds: object) -> None:
        """Take a client's wish for how long to stay; anything but a duration or -1 changes nothing."""
        if (
            isinstance(seconds, (int, float))
            and not isinstance(seconds, bool)
            and (seconds == -1 or 0 <= seconds < 1e9)
        ):
            self._keep_alive = float(seconds)

    def _mismatch(self, wish: Wish, asking: Connection) -> Frame | None:
        """What the client must decide about, when the resident model is not the one it wished for.

        Raises:
            EdgechatError: the model wished for is not there at all.
        """
        choice = self._choice
        if choice is None:
            return None
        others = sum(1 for each in list(self._listener.connections) if each.keeps and each is not asking)
        return mismatch(wish, choice, paths=self._paths, config=self._config, others=others)

    def _on_gone(self, connection: Connection) -> None:
        self._lobby.post("gone", connection, None)

    def _wake(self, connection: Connection) -> None:
        self._lobby.post("wake", connection, None)

    def _on_tick(self) -> None:
        log.keep_bounded(self._paths.state)
        now = time.monotonic()
        self._carer.tick(now, is_idle=self._vital.stage == "idle")
        self._figures.save(now)

    def _identity(self) -> dict[str, Any]:
        return {**WHO, "engine": self._engine, "pid": os.getpid()}

    def _status(self, asking: Connection) -> dict[str, Any]:
        choice, loop = self._choice, self._loop
        idle_s = time.monotonic() - loop.idle_since if loop is not None and loop.n_active == 0 else 0.0
        return {
            "pid": os.getpid(),
            "model": choice.name if choice else None,
            "quant": choice.quant if choice else None,
            "n_ctx": choice.plan.settings.n_ctx if choice else None,
            "rss_bytes": Vital.rss(),
            "clients": sum(1 for c in self._listener.connections if c is not asking),
            "idle_s": round(idle_s, 1),
            "stage": self._vital.stage,
            "running": loop.n_active if loop else 0,
            "keep_alive_s": self._keep_alive,
            "care": self._carer.to_json(),
            "energy": self._carer.energy(self._figures.tokens["completion_tokens"] - self._tokens_before),
            "figures": self._figures.to_json(),
            "version": __version__,
        }


def main() -> None:
    """Take the lock, bind the socket, fork, serve. ``argv[1]`` is a pipe that is written to when clients may come."""
    look_seldom()
    ready = int(sys.argv[1])
    paths = Paths.from_env()
    log.survive_a_full_disk()
    os.umask(0o077)
    lock = os.open(paths.state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(0)  # another engine is alive; whoever started this one will find it
    engine = os.urandom(8).hex()  # the secrets module costs 10 ms of imports
    server = unix_socket.listen(paths.state)
    log_start = log.path(paths.state).stat().st_size
    vital = Vital()
    kills = memory_pressure.kill_count()
    child = os.fork()
    if child:
        # Only the engine may hold the lock and the socket: both must vanish with it.
        os.close(lock)
        os.close(ready)
        server.close()
        supervisor.watch(child, engine, paths, vital, log_start=log_start, kills_before=kills)
    memory_pressure.volunteer()
    # This thread alone: whoever walks through the frames of threads that run on may fall over them, and then the warden
    # would see a SIGSEGV, whatever the signal was.
    faulthandler.enable(all_threads=False)
    from edgechat import config  # noqa: PLC0415

    # What one client's environment names is that client's wish, and not everybody's default.
    settings = replace(config.load(paths.config), model=None, n_ctx=None)
    host = Host(server, paths, settings, vital, engine)
    os.write(ready, b"r")
    os.close(ready)
    try:
        host.run()
    except BaseException as error:
        vital.note(declared=f"exit:{type(error).__name__}: {error}")
        raise
    os._exit(0)


if __name__ == "__main__":
    main()
