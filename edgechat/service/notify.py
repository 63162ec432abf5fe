"""What systemd is told: ready, stopping, how it goes, still alive. Format: sd_notify(3), one datagram a message.

Knows neither HTTP nor the engine. Without ``NOTIFY_SOCKET`` there is nobody to tell.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 1000
"""Characters of a status line."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """A way to the supervisor.

    Args:
        address: path of its datagram socket; one that begins with ``@`` lies in Linux's abstract name space.
        watchdog_s: it restarts us when it hears nothing for so long; None where it does not watch.
    """

    address: str
    watchdog_s: float | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Notifier | None:
        """The supervisor that started this process, or None. A watchdog meant for another process is not ours."""
        env = os.environ if env is None else env
        address = env.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        is_ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = env.get("WATCHDOG_USEC", "")
        watches = is_ours and microseconds.isdigit() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watches else None)

    def ready(self, status: str) -> None:
        """Clients may come."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def alive(self, status: str) -> None:
        """All is well; to be said more often than every :attr:`watchdog_s`."""
        self._send(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; without the word that keeps the watchdog quiet."""
        self._send(f"STATUS={_line(text)}")

    def stopping(self) -> None:
        """Running answers are being finished."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        # A supervisor that is gone, or does not read, must not take the server with it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.setblocking(False)
            way.sendto(message.encode(), address)


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
