"""Access control: the checks of Host, Origin (CORS) and token that every request passes before its body is read. Pure.

A web page in a browser on this machine can send requests to this server. Its host name is then in Host (DNS rebinding)
or in Origin, and the request is refused, unless ``--allow-origin`` names that page's origin.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.serve.http.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OPEN_PATHS = frozenset(("/health",))
"""Paths that need no token, so that monitoring works without one."""


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def own_names(hostname: str) -> frozenset[str]:
    """The host names of this machine."""
    short = hostname.partition(".")[0].lower()
    return frozenset(("localhost", hostname.lower(), short))


@dataclass(frozen=True)
class AccessControl:
    """The access rules of one server.

    Args:
        names: this machine's host names.
        allowed: further host names, from ``--allow-host`` (a reverse proxy's).
        is_token: whether a text is the token; None when no token is needed.
        origins: whose web pages may use the server (:mod:`edgechat.serve.http.cors`).
    """

    names: frozenset[str]
    allowed: frozenset[str] = frozenset()
    is_token: Callable[[str], bool] | None = None
    origins: frozenset[str] = frozenset()

    def check(self, path: str, headers: Mapping[str, str], hosts: Iterable[str]) -> None:
        """Check one request.

        Args:
            path: the requested path.
            headers: by lower-case name.
            hosts: all Host headers; exactly one is allowed.

        Raises:
            ApiError: 403 for a wrong Host or Origin, 401 for a missing or wrong token.
        """
        given = list(hosts)
        if len(given) != 1 or not self._is_ours(_name_of(given[0])):
            shown = repr(given[0][:100]) if given else "nothing"
            raise ApiError(
                403,
                f"The Host header says {shown}, which is not a name of this server. Use its address, or start it with "
                "--allow-host NAME.",
                "permission_error",
                "host_not_allowed",
            )
        origin = headers.get("origin")
        is_allowed = origin is not None and origin.strip().lower() in self.origins
        if origin is not None and not is_allowed and not _is_same(origin, given[0]):
            raise ApiError(
                403,
                f"A page of {origin[:100]!r} may not use this server. To allow it, start the server with "
                "--allow-origin ORIGIN.",
                "permission_error",
                "origin_not_allowed",
            )
        if not is_allowed and headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise ApiError(
                403, "A page of another site may not use this server.", "permission_error", "origin_not_allowed"
            )
        if self.is_token is not None and path not in OPEN_PATHS:
            self._check_token(headers.get("authorization", ""))

    def _check_token(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token is not None and self.is_token(token.strip()):
            return
        problem = "The token is wrong." if authorization else "This server requires a token."
        raise ApiError(
            401,
            f"{problem} Send it as `Authorization: Bearer TOKEN`; it is the server's API key.",
            "authentication_error",
            "invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _is_ours(self, name: str | None) -> bool:
        if name is None:
            return False
        if _is_address(name) or name in self.names or name in self.allowed:
            return True
        # mDNS publishes the short name under .local, with a number appended when another machine has that name.
        stem, dot, rest = name.partition(".")
        return (
            bool(dot)
            and rest == "local"
            and re.sub(r"-\d{1,3}$", "", stem) in self.names | {re.sub(r"-\d{1,3}$", "", each) for each in self.names}
        )


def _name_of(host: str) -> str | None:
    """The name in a Host header, without the port; None when the header is malformed."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", host.strip())
    return found[1].strip("[]").rstrip(".").lower() if found else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether an Origin header names this server. The scheme is not compared: a reverse proxy may add TLS."""
    scheme, separator, rest = origin.strip().partition("://")
    return bool(separator) and scheme in {"http", "https"} and rest.lower() == host.strip().lower()
