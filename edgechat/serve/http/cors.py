"""Cross-origin requests (CORS, in the Fetch standard) of the web pages that ``--allow-origin`` names. Pure.

Only exact origins are allowed, never all of them: a page that may ask this server can read every answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[^/\s:@?#*\[\]]+)(?::\d{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SECONDS = "600"
"""For which a browser may keep the answer to a preflight request."""


def parse_origins(texts: Iterable[str]) -> frozenset[str]:
    """The origins of ``--allow-origin``, as browsers write them.

    Raises:
        UsageError: a text is not an origin.
    """
    found = set()
    for text in texts:
        origin = text.strip().lower().removesuffix("/")
        if not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"--allow-origin {text!r} is no origin.",
                hint="Write scheme, name and port as the browser does, such as http://localhost:3000; "
                "all origins at once (*) cannot be allowed.",
            )
        scheme = origin.partition(":")[0]
        found.add(origin.removesuffix(_DEFAULT_PORTS.get(scheme, "\0")))
    return frozenset(found)


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks if a request may follow."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def response_headers(origin: str | None, allowed: frozenset[str]) -> dict[str, str]:
    """Headers that let a page of an allowed origin read the response; empty where there is no such page."""
    if not allowed:
        return {}
    if origin is None or origin.strip().lower() not in allowed:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin.strip(),
        "Access-Control-Expose-Headers": "Retry-After, X-Edgechat-Ignored, x-should-retry",
        "Vary": "Origin",
    }


def preflight_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the answer to a preflight request of an allowed origin, beside :func:`response_headers`."""
    asked = headers.get("access-control-request-headers", "")
    names = [name.strip() for name in asked.split(",") if re.fullmatch(r"[A-Za-z0-9-]{1,64}", name.strip())]
    found = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": ", ".join(names[:40]) or "content-type, authorization",
        "Access-Control-Max-Age": _SECONDS,
    }
    if headers.get("access-control-request-private-network") == "true":
        found["Access-Control-Allow-Private-Network"] = "true"
    return found
