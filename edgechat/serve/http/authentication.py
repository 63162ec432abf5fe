"""Who may ask: the Host, Origin and token checks that every request passes before anything is read of it. Pure.

A web page that a person on this machine looks at can send requests here. Its name in Host (DNS rebinding) or in Origin
gives it away; what needs permission first (CORS) is never permitted.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.serve.http.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OPEN_PATHS = frozenset(("/health",))
"""What answers without a token: whoever watches the board need not be able to use it."""


def own_names(hostname: str) -> frozenset[str]:
    """The names this machine goes by."""
    short = hostname.partition(".")[0].lower()
    return frozenset(("localhost", hostname.lower(), short))


@dataclass(frozen=True)
class Guard:
    """The checks of one server.

    Args:
        names: this machine's own names.
        allowed: further names, as ``--allow-host`` gives them (a reverse proxy's).
        is_token: says whether a text is the token; None where none is demanded.
    """

    names: frozenset[str]
    allowed: frozenset[str] = frozenset()
    is_token: Callable[[str], bool] | None = None

    def check(self, path: str, headers: Mapping[str, str], hosts: Iterable[str]) -> None:
        """Let a request pass.

        Args:
            path: what it asks for.
            headers: by lower-case name.
            hosts: every Host header; there must be one.

        Raises:
            Fault: 403 for a wrong Host or Origin, 401 for a missing or wrong token.
        """
        given = list(hosts)
        if len(given) != 1 or not self._is_ours(_name_of(given[0])):
            said = repr(given[0][:100]) if given else "nothing"
            raise Fault(
                403,
                f"The Host header says {said}, which is no name of this server. Use its address, or start it with "
                "--allow-host NAME.",
                "permission_error",
                "host_not_allowed",
            )
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, given[0]):
            raise Fault(
                403,
                f"A page of {origin[:100]!r} may not use this server.",
                "permission_error",
                "origin_not_allowed",
            )
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise Fault(
                403, "A page of another site may not use this server.", "permission_error", "origin_not_allowed"
            )
        if self.is_token is not None and path not in OPEN_PATHS:
            self._check_token(headers.get("authorization", ""))

    def _check_token(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token is not None and self.is_token(token.strip()):
            return
        said = "The token is wrong." if authorization else "This server demands a token."
        raise Fault(
            401,
            f"{said} Send it as `Authorization: Bearer TOKEN`; it is the server's API key.",
            "authentication_error",
            "invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _is_ours(self, name: str | None) -> bool:
        if name is None:
            return False
        if _is_address(name) or name in self.names or name in self.allowed:
            return True
        # mDNS gives this machine its short name under .local, with a number behind it where another had that name.
        stem, dot, rest = name.partition(".")
        return (
            bool(dot)
            and rest == "local"
            and re.sub(r"-\d{1,3}$", "", stem) in self.names | {re.sub(r"-\d{1,3}$", "", each) for each in self.names}
        )


def _name_of(host: str) -> str | None:
    """The name in a Host header, without its port; None when it is malformed."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", host.strip())
    return found[1].strip("[]").rstrip(".").lower() if found else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether a page's origin is this very server; the scheme is the reverse proxy's business."""
    scheme, separator, rest = origin.strip().partition("://")
    return bool(separator) and scheme in {"http", "https"} and rest.lower() == host.strip().lower()
