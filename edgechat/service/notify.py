"""Notifications to systemd: ready, stopping, status and watchdog, as in sd_notify(3), one datagram each."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_STATUS_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends notifications to systemd.

    Args:
        address: path of its datagram socket; ``@`` at the beginning means Linux's abstract name space.
        watchdog_s: systemd restarts this process after so many seconds without a signal; None without a watchdog.
    """

    address: str
    watchdog_s: float | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Notifier | None:
        """A notifier if systemd started this process (``NOTIFY_SOCKET``), else None."""
        env = os.environ if env is None else env
        address = env.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        is_ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = env.get("WATCHDOG_USEC", "")
        watches = is_ours and microseconds.isdigit() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watches else None)

    def ready(self, status: str) -> None:
        """Report that the server accepts connections."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def alive(self, status: str) -> None:
        """Send the watchdog signal; needed more often than every :attr:`watchdog_s` seconds."""
        self._send(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """Set the line in ``systemctl status``, without the watchdog signal."""
        self._send(f"STATUS={_line(text)}")

    def stopping(self) -> None:
        """Report that the server stops after the running answers."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        # A failed notification must not end the server.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(), address)


def _line(text: str) -> str:
    return " ".join(text.split())[:_MAX_STATUS_LENGTH]
