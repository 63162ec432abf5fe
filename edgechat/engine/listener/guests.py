"""What another user's client may ask of this engine, which belongs to its owner: answers, and nothing else.

A guest neither ends the engine nor chooses what is loaded, opens none of the owner's files, and keeps no conversation
on the owner's disk. Knows requests, and no sockets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Wish, is_path
from edgechat.errors import ModelNotFoundError

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request

MAX_GUESTS = 32
"""At once: half of all clients, so that there is always room for the owner's own."""

FORBIDDEN = frozenset(("stop", "retire", "keep"))
"""Frames that a guest is hung up on for."""


def granted(request: Request) -> Request:
    """What of a guest's request is done.

    Raises:
        ModelNotFoundError: it names a file. The owner's rights would be used to look whether that is there, and what
            it holds; the guest's own engine, which its client starts at this answer, has the guest's.
    """
    if request.wish.model is not None and is_path(request.wish.model):
        raise ModelNotFoundError(
            "The machine's own engine opens no files that other users name.",
            hint="Name a model by its name, or ask an engine of your own.",
        )
    return replace(request, keep=None)


def wish_to_load(request: Request, *, is_guest: bool) -> Wish:
    """What is loaded where this request is the first: a guest's gets the owner's default, and is then compared."""
    return Wish() if is_guest else request.wish
