"""Who speaks: the version, and one number over the names and types of all that crosses the wire.

Two checkouts of one version may differ: an engine started before a `git pull` would refuse fields it has not heard of.
Knows nothing of what the fields mean: where that alone changes, ``PROTOCOL`` is raised.
"""

from __future__ import annotations

import binascii
from dataclasses import fields
from typing import Any, get_args

from edgechat.engine.protocol.events import Event
from edgechat.engine.protocol.framing import PROTOCOL
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.sampling import Sampling
from edgechat.version import __version__


def fingerprint(*kinds: type[Any]) -> str:
    """A number in hexadecimal that changes when a dataclass is added or renamed, or one of its fields is."""
    spoken = (f"{kind.__name__}.{field.name}:{field.type}" for kind in kinds for field in fields(kind))
    return f"{binascii.crc32(' '.join(spoken).encode()):08x}"


IDENTITY = {
    "version": __version__,
    "protocol": PROTOCOL,
    "dialect": fingerprint(Request, Message, Sampling, Wish, *get_args(Event)),
}
"""Part of either side's ``hello``; they must agree on it exactly."""
