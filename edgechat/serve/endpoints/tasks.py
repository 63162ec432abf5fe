"""``/v1/tasks/{task}``: one record as JSON, many as JSON lines. The results are those of ``edgechat run``."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from edgechat.errors import EdgechatError, NoModelError, UsageError
from edgechat.serve.http.errors import Fault, fault_of
from edgechat.tasks import registry
from edgechat.tasks.batch.batch_run import BatchRun
from edgechat.tasks.batch.output import json_text
from edgechat.tasks.batch.records import Record, json_line_records
from edgechat.tasks.contract import Context, published_schema
from edgechat.tasks.generator import EngineGenerator, ModelIdentity
from edgechat.tasks.language import locale_language
from edgechat.tasks.runner import run_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.serve.engine_clients import Service
    from edgechat.serve.http.exchange import Exchange
    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult

JSON_LINES = "application/x-ndjson"
_TOGETHER = 6
"""Records of one request that are decoded together. A context usually has eight sequences, and the engine takes 64
clients: eight such requests at once must leave room for others."""
_LINES = frozenset((JSON_LINES, "application/jsonl", "application/jsonlines"))


class TaskRuns:
    """The endpoints of tasks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: ModelIdentity | None = None

    async def listed(self, exchange: Exchange) -> None:
        """``GET /v1/tasks``: names, help and schemas' places."""
        data = [{"id": each.name, "object": "task", "help": each.help} for each in registry.installed_tasks()]
        await exchange.answer(200, {"object": "list", "data": data})

    async def shown(self, exchange: Exchange) -> None:
        """``GET /v1/tasks/{task}``: what it takes and gives."""
        task = _task(exchange)
        await exchange.answer(
            200,
            {
                "id": task.name,
                "object": "task",
                "version": task.version,
                "example": task.example,
                "input": published_schema(task, "input"),
                "output": published_schema(task, "output"),
            },
        )

    async def run(self, exchange: Exchange) -> None:
        """``POST /v1/tasks/{task}``: 200 with a result for each record, whatever its ``status`` is."""
        task = _task(exchange)
        if exchange.content_type in _LINES:
            body = await exchange.body()
            await exchange.unless_gone(self._many(exchange, task, body))
            return
        record = Record(1, 1, await exchange.value())
        done = await exchange.unless_gone(self._one(task, record))
        if isinstance(done.cause, NoModelError) and done.status != "ok":
            raise done.cause
        await exchange.answer(200, done.to_json())

    async def _one(self, task: Task[Any, Any], record: Record) -> TaskResult:
        generator = self._generator()
        async with self._service.working(self._result(task, record, generator), generator.interrupt) as results:
            done: TaskResult = await anext(results)
            async for _ in results:
                pass
            return done

    async def _many(self, exchange: Exchange, task: Task[Any, Any], body: bytes) -> None:
        """Send each result as soon as it and those before it are there. A line that is no record costs only itself."""
        stop = threading.Event()
        records = iter(json_line_records([body], "utf-8", "the body"))
        try:
            async with self._service.working(self._together(task, records, stop), stop.set) as results:
                async for done in results:
                    if not exchange.status:
                        await exchange.begin(200, JSON_LINES)
                    await exchange.write(json_text(done.to_json()).encode() + b"\n")
        except (EdgechatError, Fault) as error:
            if not exchange.status:
                raise
            fault = error if isinstance(error, Fault) else fault_of(error)
            await exchange.write(json_text(fault.body()).encode() + b"\n")
        if not exchange.status:
            raise Fault(400, "There is no record in the body.", code="no_records")
        await exchange.end()

    def _generator(self, *, is_batch: bool = False) -> EngineGenerator:
        settings = self._service.settings
        return EngineGenerator(
            self._service.paths,
            settings.wish,
            known=self._known,
            keep_alive_s=settings.keep_alive_s,
            reads_files=False,
            is_batch=is_batch,
        )

    def _context(self) -> Context:
        """What is known around a record: the locale's language, and the model once it has answered."""
        known = self._known
        if known is None:
            return Context(language=locale_language())
        return Context(language=locale_language(), vision=known.vision, prompts=known.prompts)

    def _result(self, task: Task[Any, Any], record: Record, generator: EngineGenerator) -> Iterator[TaskResult]:
        """In a thread: one record."""
        with contextlib.closing(generator):
            with contextlib.suppress(EdgechatError):  # met again with the record, and reported there
                self._known = generator.identify(self._service.settings.timeout_s)
            yield run_task(
                task,
                record.raw,
                generator=generator,
                context=self._context(),
                record_id=record.id,
                timeout_s=self._service.settings.timeout_s,
            )
            self._known = generator.identity

    def _together(self, task: Task[Any, Any], records: Iterator[Record], stop: threading.Event) -> Iterator[TaskResult]:
        """In a thread: records in the order of the input, some of them decoded together."""
        made: list[EngineGenerator] = []

        def connect() -> EngineGenerator:
            made.append(self._generator(is_batch=True))
            return made[-1]

        with contextlib.closing(self._generator()) as first, contextlib.suppress(EdgechatError):
            self._known = first.identify(self._service.settings.timeout_s)
        batch = BatchRun(
            task,
            connect,
            context=self._context(),
            timeout_s=self._service.settings.timeout_s,
            parallel=_TOGETHER,
            stop=stop,
        )
        for _, done in batch.run(records):
            self._known = next((each.identity for each in made if each.identity is not None), self._known)
            yield done


def _task(exchange: Exchange) -> Task[Any, Any]:
    try:
        return registry.load(exchange.scope["path_params"]["task"])
    except UsageError as error:
        raise Fault(404, str(error), code="task_not_found") from None
