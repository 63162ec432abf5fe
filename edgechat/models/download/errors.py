"""Errors for the HTTP answers of a model hub, from status and headers. Pure: opens no connection."""

from __future__ import annotations

import contextlib
import email.utils
import time
from typing import TYPE_CHECKING

from edgechat.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which a retry may work."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class VanishedError(TransferError):
    """The hub has the repository, but no longer the revision or the file."""


def http_error(status: int, headers: Mapping[str, str], what: str, host: str) -> TransferError:
    """The error for an answer that no retry can change, from the hub's X-Error-Code where it sends one."""
    code = headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        page = "/".join(what.partition(" ")[0].split("/")[:2])
        return TransferError(
            f"{what} is gated: its authors want to know who downloads it (HTTP {status}).",
            hint=f"Accept their terms at https://{host}/{page}, make a token there, and run again with HF_TOKEN set.",
        )
    if status == 401 and "credentials" in headers.get("X-Error-Message", "").lower():
        return TransferError(
            f"{what}: {host} does not accept the token.", hint="Make a new one there and set HF_TOKEN, or unset it."
        )
    if code == "RepoNotFound" or (status == 401 and code == ""):
        return TransferError(
            f"{what}: {host} knows no such repository, or it is private.",
            hint="Check the spelling; for a private one set HF_TOKEN.",
        )
    if code == "RevisionNotFound":
        return VanishedError(f"{what}: that revision is no longer on {host}.", hint="Pull without a revision.")
    if code == "EntryNotFound" or status == 404:
        return VanishedError(
            f"{what} is no longer on {host}.", hint="See what the repository holds now, and pull again."
        )
    return TransferError(
        f"{what}: {describe_status(status, host)}.", hint="Try again later, or another mirror (HF_ENDPOINT)."
    )


def describe_status(status: int, host: str) -> str:
    """One clause with the host and its answer: ``example.org is overloaded (HTTP 503)``."""
    known = {429: "asks to slow down", 503: "is overloaded", 502: "cannot reach its storage", 504: "is too slow"}
    return f"{host} {known.get(status, 'answered with an error')} (HTTP {status})"


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    with contextlib.suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def number(text: str | None) -> int | None:
    """A header's whole number, or None when it is absent or not a number."""
    return int(text) if text and text.isdecimal() else None
