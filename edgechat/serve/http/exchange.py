"""One HTTP request and its response, within the limits of size, depth, time and memory.

Every wait has a timeout, so that a client that sends or reads too slowly, or that has disconnected, holds neither a
thread nor a slot.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers

from edgechat.engine.protocol.json_bounds import PIECE, JsonBounds, JsonTooLargeError, parse
from edgechat.serve.http.errors import ApiError, validation_error
from edgechat.serve.http.timeouts import with_timeout

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Message, Receive, Scope, Send

    from edgechat.serve.http.limits import BodyMemory, Limits

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

JSON = "application/json"


class ClientDisconnectedError(Exception):
    """The client disconnected, or stopped reading."""


class Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, limits: Limits, memory: BodyMemory) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self._receive, self._send, self._limits, self._memory = receive, send, limits, memory
        self._held = 0
        self.status = 0
        """Status of the response; 0 before it begins."""
        self.extra_headers: dict[str, str] = {}
        """Further headers of the response, whatever its status."""

    # -- the request ---------------------------------------------------------------------------------------------------

    async def read_body(self) -> bytes:
        """Read the whole body, whatever it is.

        Raises:
            ApiError: 413 longer than allowed, 408 too slow, 503 no memory for it now.
            ClientDisconnectedError: the client disconnected before its end.
        """
        return await self._read_in_time(None)

    async def _read_in_time(self, bounds: JsonBounds | None) -> bytes:
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._read(bounds), self._limits.read_s)
        except asyncio.TimeoutError:
            raise ApiError(
                408, f"The body did not arrive within {self._limits.read_s:.0f} s.", headers={"Connection": "close"}
            ) from None

    async def _read(self, bounds: JsonBounds | None) -> bytes:
        """Read to the end; what follows the place that exceeds a bound is dropped as it arrives."""
        pieces = bytearray()
        n_bytes = 0
        refusal: ApiError | None = None
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnectedError
            piece: bytes = message.get("body", b"")
            n_bytes += len(piece)
            if n_bytes > self._limits.body_bytes:
                raise self._too_large()
            if refusal is None:
                self._memory.reserve(len(piece))
                self._held += len(piece)
                pieces += piece
                refusal = None if bounds is None else await self._count(bounds, piece)
                if refusal is not None:
                    pieces.clear()
                    self._release()
            if not message.get("more_body"):
                break
        if refusal is not None:
            raise refusal
        return bytes(pieces)

    async def _count(self, bounds: JsonBounds, text: bytes) -> ApiError | None:
        """Count a part of the body; the error where it exceeds a bound. Other requests run between its pieces."""
        for at in range(0, len(text), PIECE):
            async with self._memory.parsing:
                try:
                    bounds.feed(text[at : at + PIECE])
                except JsonTooLargeError as error:
                    if "nested" in str(error):
                        return self._too_deep()
                    return ApiError(400, f"The JSON is refused: {error}.", code="json_too_large")
                await asyncio.sleep(0)
        return None

    async def read_json(self) -> Any:  # noqa: ANN401 - JSON
        """Read the body as JSON.

        Raises:
            ApiError: as :meth:`read_body`; 415 the Content-Type is not JSON; 400 the body is not, or is nested too
                deeply.
        """
        # This also stops web pages: a browser sends forms and plain text to other sites without a CORS preflight.
        if self.content_type != JSON:
            raise ApiError(415, f"Send {JSON} in Content-Type; this request says {self.content_type or 'nothing'}.")
        text = await self._read_in_time(JsonBounds(max_depth=self._limits.depth))
        async with self._memory.parsing:
            await asyncio.sleep(0)
            try:
                return parse(text)
            except ValueError as error:
                raise ApiError(400, f"The body is not JSON: {error}.", code="invalid_json") from None

    async def read_as(self, kind: type[M]) -> M:
        """Read the body as a pydantic model.

        Raises:
            ApiError: as :meth:`read_json`; 400 naming the wrong fields.
        """
        value = await self.read_json()
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            raise validation_error(error) from None

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def unless_disconnected(self, work: Awaitable[T]) -> T:
        """Await ``work``, and cancel it when the client disconnects. The body must have been read before.

        Raises:
            ClientDisconnectedError: the client disconnected.
        """
        running = asyncio.ensure_future(work)
        disconnected = asyncio.ensure_future(self._until_disconnected())
        try:
            await asyncio.wait({running, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            raise ClientDisconnectedError
        finally:
            disconnected.cancel()
            running.cancel()
            await asyncio.wait({running, disconnected})
            if not running.cancelled():
                running.exception()  # retrieved, so that asyncio does not log it

    async def _until_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # -- the response --------------------------------------------------------------------------------------------------

    async def send_json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        """Send a whole response with JSON."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        await self.send_bytes(status, text, JSON, headers)

    async def send_bytes(self, status: int, text: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send a whole response."""
        await self.start_response(status, kind, {"Content-Length": str(len(text)), **(headers or {})})
        await self._send_message({"type": "http.response.body", "body": text})

    async def start_response(self, status: int, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send status and headers; :meth:`write` and :meth:`end` follow."""
        self.status = status
        self._release()
        fields = {"Content-Type": kind, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        fields |= self.extra_headers | (headers or {})
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
        await self._send_message({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, text: bytes) -> None:
        """Send a piece of the response.

        Raises:
            ClientDisconnectedError: the client did not accept it in time.
        """
        await self._send_message({"type": "http.response.body", "body": text, "more_body": True})

    async def end(self) -> None:
        """End the response."""
        await self._send_message({"type": "http.response.body", "body": b""})

    async def _send_message(self, message: Message) -> None:
        try:
            await with_timeout(self._limits.write_s, self._send(message))
        except (asyncio.TimeoutError, OSError) as error:
            raise ClientDisconnectedError from error

    def close(self) -> None:
        """Release the memory of the body."""
        self._release()

    def _release(self) -> None:
        self._memory.release(self._held)
        self._held = 0

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The body is longer than {self._limits.body_bytes} bytes.", code="body_too_large")

    def _too_deep(self) -> ApiError:
        return ApiError(400, f"The JSON is nested deeper than {self._limits.depth} levels.", code="json_too_deep")
