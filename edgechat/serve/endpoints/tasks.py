"""``/v1/tasks``: run a task over one record (JSON) or many (JSON lines), with the results of ``edgechat run``."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from edgechat.errors import EdgechatError, NoModelError, UsageError
from edgechat.serve.http.errors import ApiError, api_error
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

    from edgechat.serve.engine_clients import EngineClients
    from edgechat.serve.http.exchange import Exchange
    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult

JSON_JSON_LINES_TYPES = "application/x-ndjson"
_PARALLEL_RECORDS = 6
"""Records of one request that are decoded together. The engine accepts 64 clients, and a context usually has eight
sequences: eight such requests at once must leave some for others."""
_JSON_LINES_TYPES = frozenset((JSON_JSON_LINES_TYPES, "application/jsonl", "application/jsonlines"))


class Tasks:
    """The endpoints."""

    def __init__(self, clients: EngineClients) -> None:
        self._clients = clients
        self._identity: ModelIdentity | None = None

    async def list_tasks(self, exchange: Exchange) -> None:
        """``GET /v1/tasks``: name and help of each task."""
        data = [{"id": each.name, "object": "task", "help": each.help} for each in registry.installed_tasks()]
        await exchange.send_json(200, {"object": "list", "data": data})

    async def describe(self, exchange: Exchange) -> None:
        """``GET /v1/tasks/{task}``: example, input schema and output schema."""
        task = _task(exchange)
        await exchange.send_json(
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
        """``POST /v1/tasks/{task}``: 200 with a result per record, even where the record's ``status`` is not ``ok``."""
        task = _task(exchange)
        if exchange.content_type in _JSON_LINES_TYPES:
            body = await exchange.read_body()
            await exchange.unless_disconnected(self._run_many(exchange, task, body))
            return
        record = Record(1, 1, await exchange.read_json())
        done = await exchange.unless_disconnected(self._run_one(task, record))
        if isinstance(done.cause, NoModelError) and done.status != "ok":
            raise done.cause
        await exchange.send_json(200, done.to_json())

    async def _run_one(self, task: Task[Any, Any], record: Record) -> TaskResult:
        generator = self._generator()
        async with self._clients.iterating(self._results(task, record, generator), generator.interrupt) as results:
            done: TaskResult = await anext(results)
            async for _ in results:
                pass
            return done

    async def _run_many(self, exchange: Exchange, task: Task[Any, Any], body: bytes) -> None:
        """Send the results in the order of the lines. A line that is not a record gets a result that says so."""
        stop = threading.Event()
        records = iter(json_line_records([body], "utf-8", "the body"))
        try:
            async with self._clients.iterating(self._run_batch(task, records, stop), stop.set) as results:
                async for done in results:
                    if not exchange.status:
                        await exchange.start_response(200, JSON_JSON_LINES_TYPES)
                    await exchange.write(json_text(done.to_json()).encode() + b"\n")
        except (EdgechatError, ApiError) as error:
            if not exchange.status:
                raise
            failure = error if isinstance(error, ApiError) else api_error(error)
            await exchange.write(json_text(failure.body()).encode() + b"\n")
        if not exchange.status:
            raise ApiError(400, "The body has no record.", code="no_records")
        await exchange.end()

    def _generator(self, *, is_batch: bool = False) -> EngineGenerator:
        settings = self._clients.settings
        return EngineGenerator(
            self._clients.paths,
            settings.wish,
            known=self._identity,
            keep_alive_s=settings.keep_alive_s,
            reads_files=False,
            is_batch=is_batch,
        )

    def _context(self) -> Context:
        """The context of a record: the locale's language, and what the model can do once that is known."""
        identity = self._identity
        if identity is None:
            return Context(language=locale_language())
        return Context(
            language=locale_language(),
            vision=identity.vision,
            prompts=identity.prompts,
            parameters=identity.parameters,
        )

    def _results(self, task: Task[Any, Any], record: Record, generator: EngineGenerator) -> Iterator[TaskResult]:
        """Run one record. Called in a thread."""
        with contextlib.closing(generator):
            with contextlib.suppress(EdgechatError):  # the same error follows with the record and is reported there
                self._identity = generator.identify(self._clients.settings.timeout_s)
            yield run_task(
                task,
                record.raw,
                generator=generator,
                context=self._context(),
                record_id=record.id,
                timeout_s=self._clients.settings.timeout_s,
            )
            self._identity = generator.identity

    def _run_batch(
        self, task: Task[Any, Any], records: Iterator[Record], stop: threading.Event
    ) -> Iterator[TaskResult]:
        """Run records, several decoded together; results in the order of the input. Called in a thread."""
        generators: list[EngineGenerator] = []

        def connect() -> EngineGenerator:
            generators.append(self._generator(is_batch=True))
            return generators[-1]

        with contextlib.closing(self._generator()) as first, contextlib.suppress(EdgechatError):
            self._identity = first.identify(self._clients.settings.timeout_s)
        batch = BatchRun(
            task,
            connect,
            context=self._context(),
            timeout_s=self._clients.settings.timeout_s,
            parallel=_PARALLEL_RECORDS,
            stop=stop,
        )
        for _, done in batch.run(records):
            self._identity = next((each.identity for each in generators if each.identity is not None), self._identity)
            yield done


def _task(exchange: Exchange) -> Task[Any, Any]:
    try:
        return registry.load(exchange.scope["path_params"]["task"])
    except UsageError as error:
        raise ApiError(404, str(error), code="task_not_found") from None
