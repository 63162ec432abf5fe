"""Permissions of guests: clients that belong to another user than the engine.

A guest gets answers. It cannot stop the engine, choose the model, open the owner's files, or keep a conversation on the
owner's disk.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Wish, is_path
from edgechat.errors import ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.engine.protocol.request import Request

MAX_GUESTS = 32
"""Connected at the same time: half of all clients, so that the owner's clients can always connect."""

MAX_PER_USER = 8
"""Of these, by one user: four users can use the machine's engine at the same time, whatever one of them does."""

FORBIDDEN = frozenset(("stop", "retire", "keep"))
"""Frame types for which a guest is disconnected."""


def has_no_place(uid: int | None, connected: Sequence[int | None]) -> bool:
    """Whether a guest must wait.

    Args:
        uid: the user that it belongs to; None where the system does not say.
        connected: the users of the guests that are connected.
    """
    return len(connected) >= MAX_GUESTS or (uid is not None and connected.count(uid) >= MAX_PER_USER)


def restrict(request: Request) -> Request:
    """A guest's request without what guests may not do.

    Raises:
        ModelNotFoundError: it names a file, which would be opened with the owner's permissions. The client then starts
            an engine of its own.
    """
    if request.wish.model is not None and is_path(request.wish.model):
        raise ModelNotFoundError(
            "The machine's own engine opens no files that other users name.",
            hint="Name a model by its name, or ask an engine of your own.",
        )
    return replace(request, keep=None, keep_on_disk=False)


def wish_to_load(request: Request, *, is_guest: bool) -> Wish:
    """The wish to load for a first request: a guest's gets the owner's default model."""
    return Wish() if is_guest else request.wish
