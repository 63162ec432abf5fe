"""One HTTP request and its response, within limits of size, depth, time and memory. Knows ASGI, and no endpoint.

Every wait has an end: a client that sends or reads too slowly, or that has left, costs neither a thread nor a place.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers

from edgechat.serve.http.errors import Fault, busy
from edgechat.serve.http.timeouts import within

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Message, Receive, Scope, Send

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
_MANY_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost."""

    body_bytes: int = 4 * 1024 * 1024
    """Longest body; 32,768 tokens of text are about 130 kB."""
    bodies_bytes: int = 64 * 1024 * 1024
    """Bodies held in memory by all requests together."""
    depth: int = 64
    """Levels of nested JSON."""
    read_s: float = 30.0
    """Time for a whole body to arrive."""
    write_s: float = 30.0
    """Time for a piece of the response to be taken."""


class ClientGoneError(Exception):
    """The client left, or stopped reading."""


class Memory:
    """Bytes of request bodies that are in memory now."""

    def __init__(self, limit: int) -> None:
        self._limit, self.used = limit, 0

    def take(self, size: int) -> None:
        """Account for more bytes.

        Raises:
            Fault: 503: other requests hold all there is.
        """
        if self.used + size > self._limit:
            raise busy(1.0)
        self.used += size

    def give(self, size: int) -> None:
        """Account for bytes that are gone."""
        self.used -= size


class Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, limits: Limits, memory: Memory) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self._receive, self._send, self._limits, self._memory = receive, send, limits, memory
        self._held = 0
        self.status = 0
        """Of the response, once it began."""

    # -- the request ---------------------------------------------------------------------------------------------------

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            Fault: 413 longer than allowed, 408 too slow, 503 no memory for it now.
            ClientGoneError: it never came.
        """
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._read(), self._limits.read_s)
        except asyncio.TimeoutError:
            raise Fault(
                408, f"The body did not arrive within {self._limits.read_s:.0f} s.", headers={"Connection": "close"}
            ) from None

    async def _read(self) -> bytes:
        pieces = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece: bytes = message.get("body", b"")
            if len(pieces) + len(piece) > self._limits.body_bytes:
                raise self._too_large()
            self._memory.take(len(piece))
            self._held += len(piece)
            pieces += piece
            if not message.get("more_body"):
                return bytes(pieces)

    async def value(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The body as JSON.

        Raises:
            Fault: as :meth:`body`; 415 it does not say that it is JSON; 400 it is not, or is nested too deeply.
        """
        # Also what keeps a web page from posting here without asking first: forms and plain text need no permission.
        if self.content_type != JSON:
            raise Fault(415, f"Send {JSON} in Content-Type; this request says {self.content_type or 'nothing'}.")
        return self.parsed(await self.body())

    def parsed(self, text: bytes) -> Any:  # noqa: ANN401
        """JSON, within the limit of depth.

        Raises:
            Fault: 400.
        """
        try:
            value = json.loads(text)
        except RecursionError:
            raise self._too_deep() from None
        except ValueError as error:
            raise Fault(400, f"The body is not JSON: {error}.", code="invalid_json") from None
        if _depth_exceeds(value, self._limits.depth):
            raise self._too_deep()
        return value

    async def model(self, kind: type[M]) -> M:
        """The body as ``kind``.

        Raises:
            Fault: 400, naming what is wrong.
        """
        value = await self.value()
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            raise _invalid(error) from None

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """The result of ``work``, which is cancelled when the client leaves. The body must have been read.

        Raises:
            ClientGoneError: it left.
        """
        running = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._until_gone())
        try:
            await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            raise ClientGoneError
        finally:
            gone.cancel()
            running.cancel()
            await asyncio.wait({running, gone})
            if not running.cancelled():
                running.exception()  # seen: whoever left does not want to know

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # -- the response --------------------------------------------------------------------------------------------------

    async def answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        """Send one JSON object."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        await self.answer_bytes(status, text, JSON, headers)

    async def answer_bytes(self, status: int, text: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send a whole response."""
        await self.begin(status, kind, {"Content-Length": str(len(text)), **(headers or {})})
        await self._put({"type": "http.response.body", "body": text})

    async def begin(self, status: int, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send the head of a response; :meth:`write` and :meth:`end` follow."""
        self.status = status
        self._release()
        fields = {"Content-Type": kind, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in (fields | (headers or {})).items()]
        await self._put({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, text: bytes) -> None:
        """Send a piece.

        Raises:
            ClientGoneError: it was not taken in time.
        """
        await self._put({"type": "http.response.body", "body": text, "more_body": True})

    async def end(self) -> None:
        """Send the end."""
        await self._put({"type": "http.response.body", "body": b""})

    async def _put(self, message: Message) -> None:
        try:
            await within(self._limits.write_s, self._send(message))
        except (asyncio.TimeoutError, OSError) as error:
            raise ClientGoneError from error

    def close(self) -> None:
        """Account for what the request held."""
        self._release()

    def _release(self) -> None:
        self._memory.give(self._held)
        self._held = 0

    def _too_large(self) -> Fault:
        return Fault(413, f"The body is longer than {self._limits.body_bytes} bytes.", code="body_too_large")

    def _too_deep(self) -> Fault:
        return Fault(400, f"The JSON is nested deeper than {self._limits.depth} levels.", code="json_too_deep")


def _depth_exceeds(value: object, limit: int) -> bool:
    """Whether JSON is nested deeper than ``limit``, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _invalid(error: ValidationError) -> Fault:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = [f"{_place(each['loc'])}: {each['msg'].removeprefix('Value error, ')}" for each in found[:_MANY_ERRORS]]
    if len(found) > _MANY_ERRORS:
        said.append(f"and {len(found) - _MANY_ERRORS} more")
    return Fault(400, "; ".join(said) + ".", param=_place(found[0]["loc"]))


def _place(steps: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in steps) or "the body"
