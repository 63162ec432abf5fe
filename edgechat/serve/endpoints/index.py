"""``GET /``: what this server is and where its parts are, as a page for browsers and as JSON for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.version import __version__

if TYPE_CHECKING:
    from edgechat.serve.http.exchange import Exchange

_PAGE = Path(__file__).parents[1] / "pages" / "index.html"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Vary": "Accept",
}


async def index(exchange: Exchange) -> None:
    """``GET /``."""
    if "text/html" in exchange.headers.get("accept", ""):
        await exchange.send_bytes(200, _PAGE.read_bytes(), "text/html; charset=utf-8", _HEADERS)
        return
    await exchange.send_json(
        200,
        {
            "name": "edgechat",
            "description": "OpenAI's API on this machine.",
            "version": __version__,
            "api": "/v1",
            "health": "/health",
            "openapi": "/openapi.json",
            "metrics": "/metrics",
            "docs": "docs/serve.md",
            "ui": "edgechat tui --web",
        },
        {"Vary": "Accept"},
    )
