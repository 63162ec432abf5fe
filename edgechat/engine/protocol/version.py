"""Identity in the handshake: the version, and a checksum of the names and types of all fields in frames.

The checksum distinguishes two checkouts of one version: an engine that was started before a `git pull` would refuse new
fields. Where only the meaning of a field changes, ``PROTOCOL`` is incremented.
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
    """A hexadecimal checksum that changes when a dataclass or one of its fields is added, renamed or retyped."""
    spoken = (f"{kind.__name__}.{field.name}:{field.type}" for kind in kinds for field in fields(kind))
    return f"{binascii.crc32(' '.join(spoken).encode()):08x}"


IDENTITY = {
    "version": __version__,
    "protocol": PROTOCOL,
    "dialect": fingerprint(Request, Message, Sampling, Wish, *get_args(Event)),
}
"""Part of each side's ``hello`` frame; both must be equal."""
