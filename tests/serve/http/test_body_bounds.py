"""A body of millions of values: refused while it arrives, in small steps, and nothing of it is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.serve.http.errors import ApiError
from edgechat.serve.http.exchange import Exchange
from edgechat.serve.http.limits import BodyMemory, Limits

if TYPE_CHECKING:
    from starlette.types import Message

PIECE = 1 << 16


class Peer:
    """A client that sends a body in pieces; remembers how much memory the server held for it after each."""

    def __init__(self, body: bytes, memory: BodyMemory) -> None:
        self._pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
        self._memory = memory
        self.held: list[int] = []

    async def receive(self) -> Message:
        self.held.append(self._memory.used)
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    async def send(self, _: Message) -> None:
        pytest.fail("nothing is answered while the body arrives")


def exchange(body: bytes, memory: BodyMemory) -> tuple[Exchange, Peer]:
    scope: dict[str, Any] = {"type": "http", "headers": [(b"content-type", b"application/json")]}
    peer = Peer(body, memory)
    return Exchange(scope, peer.receive, peer.send, limits=Limits(), memory=memory), peer


BOMB = b'{"messages":[' + b"[]," * 1_300_000 + b"[]]}"


def test_a_bomb_is_dropped_at_its_first_part_and_read_to_its_end() -> None:
    memory = BodyMemory(64 * 1024 * 1024)
    one, peer = exchange(BOMB, memory)

    with pytest.raises(ApiError) as refused:
        asyncio.run(one.read_json())

    assert refused.value.code == "json_too_large"
    assert max(peer.held) <= 6 * PIECE
    assert memory.used == 0
    assert len(peer.held) == -(-len(BOMB) // PIECE), "the client can send all of it, and then read why it is refused"


def test_between_two_pieces_of_fourteen_bombs_others_run() -> None:
    async def story() -> tuple[int, int]:
        memory = BodyMemory(64 * 1024 * 1024)
        bombs = [asyncio.ensure_future(exchange(BOMB, memory)[0].read_json()) for _ in range(14)]
        turns = 0
        while not all(each.done() for each in bombs):
            await asyncio.sleep(0)
            turns += 1
        return turns, sum(isinstance(each.exception(), ApiError) for each in bombs)

    turns, refused = asyncio.run(story())
    assert refused == 14
    assert turns >= 14 * 3, "one piece of one body at a time"


def test_text_of_four_megabytes_is_read_whole() -> None:
    memory = BodyMemory(64 * 1024 * 1024)
    text = '{"content":"' + '[]{},\\"' * 500_000 + '"}'
    read = asyncio.run(exchange(text.encode(), memory)[0].read_json())
    assert read == {"content": '[]{},"' * 500_000}
