"""Which web pages of other origins may use the server, and what a browser is told."""

from collections.abc import Iterator

import pytest

from edgechat.errors import UsageError
from edgechat.serve.http.cors import parse_origins
from tests.serve.server import Server

PAGE = "http://localhost:3000"


@pytest.mark.parametrize("text", ["*", "null", "localhost:3000", "http://", "http://a/b", "http://*.example.org", ""])
def test_what_is_no_exact_origin_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--allow-origin"):
        parse_origins([text])


def test_origins_are_compared_as_browsers_write_them() -> None:
    given = ["HTTP://Localhost:3000/", "https://example.org:443", "app://obsidian.md", "http://[::1]:80"]
    assert parse_origins(given) == {PAGE, "https://example.org", "app://obsidian.md", "http://[::1]"}


@pytest.fixture(scope="module")
def open_to_a_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cors"), "--token", "--allow-origin", PAGE) as running:
        running.wait_ready()
        yield running


@pytest.mark.engine
def test_a_page_of_an_allowed_origin_may_ask_and_read(open_to_a_page: Server) -> None:
    server = open_to_a_page
    asks = {
        "Origin": PAGE,
        "Sec-Fetch-Site": "cross-site",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        "Access-Control-Request-Private-Network": "true",
    }
    leave = server.http.options("/v1/chat/completions", headers=asks)
    assert leave.status_code == 204
    assert leave.headers["access-control-allow-origin"] == PAGE
    assert leave.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
    assert "POST" in leave.headers["access-control-allow-methods"]
    assert leave.headers["access-control-allow-private-network"] == "true"
    token = (server.paths.config / "serve.token").read_text().strip()
    headers = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {token}"}
    for stream in (False, True):
        answer = server.post(
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "stream": stream},
            headers=headers,
        )
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
    # An error is readable too, and the token is still needed.
    refused = server.http.get("/v1/models", headers={"Origin": PAGE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == PAGE


@pytest.mark.engine
@pytest.mark.parametrize(
    "origin", ["http://localhost:3001", "https://localhost:3000", "null", "http://localhost:3000.evil.example"]
)
def test_a_page_of_another_origin_may_not(open_to_a_page: Server, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for response in (
        open_to_a_page.http.options("/v1/chat/completions", headers=asks),
        open_to_a_page.http.get("/health", headers={"Origin": origin}),
    ):
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.engine
def test_without_the_option_no_preflight_is_granted(server: Server) -> None:
    response = server.http.options(
        "/v1/chat/completions", headers={"Origin": server.url, "Access-Control-Request-Method": "POST"}
    )
    assert response.status_code == 405
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.engine
def test_the_page_at_the_root_needs_no_token_and_shows_no_more(open_to_a_page: Server) -> None:
    assert open_to_a_page.http.get("/").status_code == 200
    assert open_to_a_page.http.get("/v1/models").status_code == 401
