"""The engine process: ``python -m edgechat.engine.process.main``, started by a client, one for each user.

It forks at once. The parent, the supervisor (``supervisor.py``), waits and records why the engine ended. The child is
the engine: it listens on the socket, chooses a plan, loads the model, and decodes until it is stopped, has been idle
for ``keep_alive``, or dies.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.process_memory import raise_oom_score, rss
from edgechat.engine.decoding.request_queue import RequestQueue
from edgechat.engine.listener import guests
from edgechat.engine.listener.answer_log import AnswerLog
from edgechat.engine.listener.connections import Connection, Listener
from edgechat.engine.process import supervisor
from edgechat.engine.process.confinement import confine_engine, confine_loaded
from edgechat.engine.process.model_switch import switch_frame
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.protocol.events import Loading
from edgechat.engine.protocol.request import Request, Wish
from edgechat.engine.protocol.version import IDENTITY
from edgechat.engine.state import exit_reason, log, oom_history, pressure_history
from edgechat.engine.state.metrics import Metrics
from edgechat.engine.state.shared_status import SharedStatus
from edgechat.engine.throttle import memory_pressure
from edgechat.engine.throttle.monitor import ThrottleMonitor
from edgechat.engine.throttle.thread_governor import Governor
from edgechat.errors import EdgechatError, EngineError, EngineProtocolError, InvalidInputError, InvalidModelFileError
from edgechat.garbage_collector import collect_rarely
from edgechat.ownership import open_own
from edgechat.paths import Paths
from edgechat.version import __version__

if TYPE_CHECKING:
    import socket

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.process.load import AnyModel, Loop
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.selection.model_choice import Choice

LOCK = "engine.lock"
_IDLE_STEP_S = 0.5
_TIGHT_CHECK_S = 5.0
_PROGRESS_S = 0.05
"""Between two progress events: a mapped file is loaded within milliseconds, tensor by tensor."""
_FIRST_CLIENT_S = 10.0
"""How long a new engine waits for the client that started it."""


class EngineProcess:
    """Everything in the engine process but decoding: frames of clients, loading, and when to exit."""

    def __init__(
        self, server: socket.socket, paths: Paths, config: Config, shared_status: SharedStatus, engine: str
    ) -> None:
        from edgechat.config import seconds  # noqa: PLC0415 - keeps the supervisor's memory small

        self._paths, self._config, self._shared_status, self._engine = paths, config, shared_status, engine
        self._sandbox = confine_engine(paths)  # before the first thread
        self._log_start = log.path(paths.state).stat().st_size
        self._keep_alive = seconds(config.keep_alive)
        self._monitor, self._metrics = ThrottleMonitor(paths.state), Metrics.open(paths.state)
        self._tokens_before = self._metrics.tokens["completion_tokens"]
        self._listener = Listener(server, on_frame=self._on_frame, on_gone=self._on_gone, on_tick=self._on_tick)
        self._listener.add_shared_socket(unix_socket.listen_shared(paths.shared))
        self._listener.answers = AnswerLog(paths.state, config.log_answers)
        self._requests = RequestQueue()
        self._loop: Loop | None = None
        self._model: AnyModel | None = None
        self._choice: Choice | None = None
        self._goodbye: str | None = None
        """Why the engine exits: ``stopped``, ``idle``, ``memory``, ``retired`` or ``refused``; None while it runs."""
        self._retiring = False
        self._next_progress = 0.0
        self._next_tight_check = 0.0

    def run(self) -> None:
        """Serve until it is time to exit."""
        self._listener.start()
        signal.signal(signal.SIGTERM, lambda *_: self._exit_because("stopped"))
        while (wish := self._wait_for_wish()) is not None:
            try:
                loop = self._load(wish)
            except EdgechatError as error:
                self._shared_status.stage = "idle"
                if self._goodbye is None and self._requests.refuse(wish, error):  # else `stop` interrupted the load
                    self._exit_because("refused")
            else:
                confine_loaded(self._sandbox, self._paths, self._choice)
                self._serve(loop)
        self._metrics.save(time.monotonic(), at_once=True)
        # First the socket's name, so that no client connects any more; the weights before the goodbye, so that a client
        # that starts the next engine finds the memory free.
        unix_socket.remove(self._paths.state)
        if self._model is not None:
            self._model.close()
        self._listener.close({"type": "bye", "reason": self._goodbye or "idle"})

    # -- loading -------------------------------------------------------------------------------------------------------

    def _wait_for_wish(self) -> Wish | None:
        """The wish of the first request; None when it is time to exit before one came."""
        until = time.monotonic() + _FIRST_CLIENT_S
        while self._goodbye is None:
            if (wish := self._requests.first_wish(0.2)) is not None:
                return wish
            if self._retiring:
                self._exit_because("retired")
            if time.monotonic() > until and not self._listener.connections:
                self._exit_because("idle")
        return None

    def _load(self, wish: Wish) -> Loop:
        from edgechat.board.probe.probe import probe  # noqa: PLC0415
        from edgechat.engine.decoding.request_loop import LoopServices  # noqa: PLC0415 - keeps the supervisor's memory small
        from edgechat.engine.native.lib import llama  # noqa: PLC0415 - llama.cpp enters the process here
        from edgechat.engine.process.load import load_model, make_loop  # noqa: PLC0415 - llama.cpp enters the process here
        from edgechat.engine.selection.gpu_probe import probe_gpu  # noqa: PLC0415
        from edgechat.engine.selection.model_choice import choose  # noqa: PLC0415
        from edgechat.locks import IN_USE, try_lock  # noqa: PLC0415
        from edgechat.models.store.unchanged import require_unchanged  # noqa: PLC0415

        self._shared_status.stage = "load"
        self._next_progress = 0.0
        # Created before loading, so that the first decode step already knows the load of other processes.
        governor = Governor()
        while True:
            board = probe()
            choice = choose(
                wish,
                paths=self._paths,
                config=self._config,
                board=board,
                offload=bool(llama.llama_supports_gpu_offload()),
                oom_history=oom_history.read(self._paths.state, board.boot_id),
                pressure=pressure_history.read(self._paths.state),
                probe=probe_gpu,
            )
            self._choice = choice
            self._shared_status.set_facts(
                label=choice.label,
                boot_id=board.boot_id,
                need=str(choice.plan.memory.host),
                on_device="yes" if choice.plan.settings.n_gpu_layers else "",
                log_start=str(self._log_start),
            )
            # Held until the process ends: `models rm` does not remove a file that is loaded.
            lock = choice.path.parent / IN_USE
            self._model_lock = try_lock(lock, shared=True) if lock.exists() else None
            require_unchanged(choice.path, self._paths.cache)
            try:
                self._model = load_model(
                    choice, self._paths, on_progress=self._on_weights, is_constrained=self._requests.is_constrained
                )
                self._on_progress(1.0)
                break
            except EngineError as error:
                if self._goodbye is not None:
                    raise
                self._after_failed_load(error, choice, board)
        plan = self._model.choice.plan
        settings = plan.settings
        governor.n_planned = max(settings.n_threads, settings.n_threads_batch)
        self._monitor.n_planned, self._monitor.n_ctx = governor.n_planned, settings.n_ctx
        self._monitor.needed = plan.memory.mapped + plan.reserve
        self._metrics.count_load()
        services = LoopServices(
            self._requests,
            governor,
            self._shared_status,
            self._mismatch,
            monitor=self._monitor,
            metrics=self._metrics,
        )
        self._loop = make_loop(self._model, services)
        self._shared_status.stage = "idle"
        return self._loop

    def _after_failed_load(self, error: EngineError, choice: Choice, board: Board) -> None:
        """Record the plan and return if memory was the cause, so that a smaller one is tried; else raise the error."""
        tail = log.tail(self._paths.state, start=self._log_start)
        said = f"{tail}\n{error.message}"
        failure = exit_reason.classify(self._engine, status=1, log_tail=said, oom_kills=0, stage="load")
        if failure.cause == "oom" or error.cause == "oom":
            oom_history.record(self._paths.state, board.boot_id, choice.label, choice.plan.memory.host)
            # These lines of the log must not be taken for the cause of a later exit.
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
        # The last hundredth stands for the context and its KV cache.
        return self._on_progress(0.99 * fraction)

    def _on_progress(self, fraction: float) -> bool:
        now = time.monotonic()
        if fraction >= 1 or now >= self._next_progress:
            self._next_progress = now + _PROGRESS_S
            name = self._choice.name if self._choice else ""
            self._requests.broadcast(Loading(round(fraction, 3), name))
        return self._goodbye is None

    # -- serving -------------------------------------------------------------------------------------------------------

    def _serve(self, loop: Loop) -> None:
        while self._goodbye is None:
            loop.step(_IDLE_STEP_S)
            if loop.n_active == 0 and (reason := self._reason_to_exit_because(time.monotonic() - loop.idle_since)):
                self._exit_because(reason)

    def _reason_to_exit_because(self, idle_s: float) -> str | None:
        if self._retiring:
            return "retired"
        if self._keep_alive == 0 and not self._listener.connections:
            return "idle"
        if self._keep_alive > 0 and idle_s > self._keep_alive:
            return "idle"
        now = time.monotonic()
        if self._keep_alive >= 0 and not self._listener.connections and now > self._next_tight_check:
            self._next_tight_check = now + _TIGHT_CHECK_S
            if memory_pressure.is_tight() or self._monitor.throttle.is_tight:
                return "memory"
        return None

    def _exit_because(self, reason: str) -> None:
        # Set by both threads; the first reason stays.
        if self._goodbye is None:
            self._goodbye = reason

    # -- the listener's thread ----------------------------------------------------------------------------------------

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "hello":
            connection.is_greeted = all(frame.get(name) == value for name, value in IDENTITY.items())
            connection.keeps = bool(frame.get("keeps")) and not connection.is_guest
            connection.send_frame({"type": "hello", **self._identity()})
        elif kind == "retire":
            self._retiring = True
            self._requests.wake()
        elif kind == "stop":
            self._exit_because("stopped")
            self._requests.wake()
        elif kind == "status":
            connection.send_frame({"type": "status", "engines": [self._status(connection)]})
        elif not connection.is_greeted:
            connection.send_frame({"type": "bye", "reason": "version"})
        elif kind == "generate":
            self._on_generate(connection, frame)
        elif kind == "cancel":
            if self._listener.open_requests.cancel(connection, frame.get("id")):
                self._requests.cancel(connection, frame["id"])
        elif kind == "keep":
            self._set_keep_alive(frame.get("seconds"))

    def _on_generate(self, connection: Connection, frame: Frame) -> None:
        request_id = frame.get("id")
        if not isinstance(request_id, int):
            raise EngineProtocolError("A request without a number cannot be answered.")
        try:
            if not isinstance(frame.get("request"), dict):
                raise InvalidInputError("The request is malformed: it is not an object.")
            request = Request.from_dict(frame["request"])
            if connection.is_guest:
                request = guests.restrict(request)
            self._listener.open_requests.admit(connection, request_id, frame["n_bytes"])
        except EngineProtocolError:
            raise  # an answer with this number would be taken for that of the other request
        except EdgechatError as error:
            connection.send_frame(error_frame(error, request_id))
            return
        self._listener.answers.begin(id(connection), request_id, request)
        self._set_keep_alive(frame.get("keep_alive"))
        self._requests.put(connection, request_id, request)

    def _set_keep_alive(self, seconds: object) -> None:
        """Set ``keep_alive`` to a client's number of seconds; anything but a duration or -1 is ignored."""
        if (
            isinstance(seconds, (int, float))
            and not isinstance(seconds, bool)
            and (seconds == -1 or 0 <= seconds < 1e9)
        ):
            self._keep_alive = float(seconds)

    def _mismatch(self, wish: Wish, asking: Connection) -> Frame | None:
        """The ``switch`` frame for a client that wishes for another model than the resident one, else None.

        Raises:
            EdgechatError: the model does not exist.
        """
        choice = self._choice
        if choice is None:
            return None
        others = sum(1 for each in list(self._listener.connections) if each.keeps and each is not asking)
        return switch_frame(wish, choice, paths=self._paths, config=self._config, others=others)

    def _on_gone(self, connection: Connection) -> None:
        self._requests.cancel(connection, None)

    def _on_tick(self) -> None:
        log.keep_bounded(self._paths.state)
        now = time.monotonic()
        self._monitor.tick(now, is_idle=self._shared_status.stage == "idle")
        self._metrics.save(now)

    def _identity(self) -> dict[str, Any]:
        return {**IDENTITY, "engine": self._engine, "pid": os.getpid()}

    def _status(self, asking: Connection) -> dict[str, Any]:
        choice, loop = self._choice, self._loop
        idle_s = time.monotonic() - loop.idle_since if loop is not None and loop.n_active == 0 else 0.0
        return {
            "pid": os.getpid(),
            "model": choice.name if choice else None,
            "quant": choice.quant if choice else None,
            "n_ctx": choice.plan.settings.n_ctx if choice else None,
            "rss_bytes": rss(),
            "clients": sum(1 for c in self._listener.connections if c is not asking),
            "idle_s": round(idle_s, 1),
            "stage": self._shared_status.stage,
            "running": loop.n_active if loop else 0,
            "keep_alive_s": self._keep_alive,
            "care": self._monitor.to_json(),
            "energy": self._monitor.energy(self._metrics.tokens["completion_tokens"] - self._tokens_before),
            "figures": self._metrics.to_json(),
            "version": __version__,
            "sandbox": self._sandbox.to_json(),
        }


def main() -> None:
    """Take the lock, bind the socket, fork, serve; ``argv[1]`` is a pipe that gets a byte when clients may connect."""
    collect_rarely()
    ready = int(sys.argv[1])
    paths = Paths.from_env()
    log.ignore_write_errors()
    os.umask(0o077)
    lock = open_own(paths.state / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(0)  # another engine runs; the client will find it
    engine = os.urandom(8).hex()  # the secrets module costs 10 ms of imports
    server = unix_socket.listen(paths.state)
    log_start = log.path(paths.state).stat().st_size
    shared_status = SharedStatus()
    kills = memory_pressure.oom_kill_count()
    child = os.fork()
    if child:
        # Only the engine may hold the lock and the socket: both must vanish with it.
        os.close(lock)
        os.close(ready)
        server.close()
        supervisor.watch(child, engine, paths, shared_status, log_start=log_start, kills_before=kills)
    raise_oom_score()
    # This thread alone: walking the frames of running threads may crash, and the supervisor would then see SIGSEGV
    # whatever the signal was.
    faulthandler.enable(all_threads=False)
    from edgechat import config  # noqa: PLC0415

    # The environment is that of the client that started the engine: its model is no default for other clients.
    settings = replace(config.load(paths.config), model=None, n_ctx=None)
    process = EngineProcess(server, paths, settings, shared_status, engine)
    os.write(ready, b"r")
    os.close(ready)
    try:
        process.run()
    except BaseException as error:
        shared_status.set_facts(declared=f"exit:{type(error).__name__}: {error}")
        raise
    os._exit(0)


if __name__ == "__main__":
    main()
