"""The client of the model hub: lists a repository and reads its files. Only this module opens network connections.

huggingface-hub supplies addresses, token, mirrors (``HF_ENDPOINT``) and the offline switch (``HF_HUB_OFFLINE``). Its
HTTP client carries the bytes too, so that proxies and TLS roots apply to all of it. ``transfer.py`` writes the files.
Importing huggingface-hub and its client costs 0.25 s, paid on the first call.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from edgechat.errors import StateError, TransferError
from edgechat.models.download.errors import REDIRECTS, RETRIED, describe_status, http_error, number, retry_after
from edgechat.models.download.transfer import NoConnection, RangeReply, RetryPolicy, TemporaryFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2

T = TypeVar("T")

CONNECT_TIMEOUT_S = 15.0
STALL_TIMEOUT_S = 30.0
"""A connection without a byte for so long is given up."""
MAX_REDIRECTS = 8
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository at one commit."""

    path: str
    size: int
    sha256: str | None
    """None for small files that the hub keeps in git."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str
    languages: tuple[str, ...]
    gated: bool

    def file(self, path: str) -> RemoteFile | None:
        """The file at ``path``, or None."""
        return next((file for file in self.files if file.path == path), None)


class Hub:
    """Connections to one hub.

    Args:
        endpoint: address of the hub; None takes HF_ENDPOINT, else the public hub.
        stall_timeout_s: silence after which a connection is given up.
    """

    def __init__(self, *, endpoint: str | None = None, stall_timeout_s: float = STALL_TIMEOUT_S) -> None:
        self._given = endpoint
        self._stall_timeout_s = stall_timeout_s

    @property
    def endpoint(self) -> str:
        """The hub's address, without a trailing slash."""
        from huggingface_hub import constants  # noqa: PLC0415

        return (self._given or constants.ENDPOINT).rstrip("/")

    def address(self, repository: str, revision: str, path: str) -> str:
        """The file's address for a browser."""
        from huggingface_hub import hf_hub_url  # noqa: PLC0415

        return hf_hub_url(repository, path, revision=revision, endpoint=self.endpoint)

    def repository(self, name: str, revision: str | None = None, *, retry: RetryPolicy | None = None) -> Repository:
        """List the repository ``name`` (``ORG/REPO``), as it is now or at ``revision``.

        Raises:
            TransferError: no such repository or revision, no permission, or no connection.
        """
        from huggingface_hub import HfApi  # noqa: PLC0415

        _configure_client()
        api = HfApi(endpoint=self.endpoint, library_name="edgechat")
        info = _with_retries(
            lambda: api.model_info(name, revision=revision, files_metadata=True, timeout=CONNECT_TIMEOUT_S),
            f"{name} at {self.endpoint}",
            retry or RetryPolicy(),
        )
        card: dict[str, Any] = dict(info.card_data.to_dict()) if info.card_data else {}  # type: ignore[no-untyped-call]
        languages = card.get("language") or ()
        return Repository(
            name=name,
            commit=str(info.sha),
            files=tuple(
                RemoteFile(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None)
                for entry in info.siblings or ()
                if entry.size is not None
            ),
            licence=str(card.get("license_name") or card.get("license") or ""),
            languages=(languages,) if isinstance(languages, str) else tuple(map(str, languages)),
            gated=bool(info.gated),
        )

    @contextlib.contextmanager
    def open(
        self, repository: str, revision: str, path: str, *, sha256: str, offset: int = 0, etag: str | None = None
    ) -> Iterator[RangeReply]:
        """Request the file from ``offset`` on. The presigned location is resolved anew each time, since it expires.

        Args:
            repository: ``ORG/REPO``.
            revision: the commit.
            path: the file in the repository.
            sha256: the expected sha256; a hub that announces another one is refused.
            offset: first byte wanted.
            etag: validator of an earlier reply: when the storage no longer has that file, it sends the whole file.

        Raises:
            TemporaryFailure: a retry may work.
            TransferError: no retry can work: the file is gone or replaced, access is refused, or no hub answers.
        """
        from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415
        from huggingface_hub.utils._http import get_session  # noqa: PLC0415

        _configure_client()
        url = self.address(repository, revision, path)
        headers = {**build_hf_headers(library_name="edgechat"), "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag is not None:
                headers["If-Range"] = etag
        what = f"{repository}/{path}"
        with _translated_errors(what):
            reply = _follow(
                get_session(), url, headers, what=what, sha256=sha256, stall_timeout_s=self._stall_timeout_s
            )
        try:
            yield _incoming(reply, what)
        finally:
            reply.close()


def _follow(
    client: httpx2.Client, url: str, headers: dict[str, str], *, what: str, sha256: str, stall_timeout_s: float
) -> httpx2.Response:
    """Follow redirects one by one: the token goes to the hub only, and the announced sha256 is checked."""
    import httpx2  # noqa: PLC0415

    timeout = httpx2.Timeout(stall_timeout_s, connect=CONNECT_TIMEOUT_S)
    hub_origin = _origin(url)
    seen = {url}
    for _ in range(MAX_REDIRECTS):
        if _origin(url) != hub_origin:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        request = client.build_request("GET", url, headers=headers, timeout=timeout)
        reply = client.send(request, stream=True, follow_redirects=False)
        try:
            _check_announced_sha256(reply, what, sha256)
            if reply.status_code not in REDIRECTS:
                _check_status(reply, what, at_hub=_origin(url) == hub_origin)
                return reply
            target = urljoin(url, reply.headers.get("Location", ""))
        except BaseException:
            reply.close()
            raise
        reply.close()
        if target in seen:
            raise TransferError(
                f"{what}: {urlsplit(url).netloc} redirects in a circle.",
                hint="Ask the administrator of that server or proxy, or use another mirror (HF_ENDPOINT).",
            )
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            raise TransferError(
                f"{what}: {urlsplit(url).netloc} redirects to a connection that is not encrypted.",
                hint="Use another mirror (HF_ENDPOINT).",
            )
        seen.add(target)
        url = target
    raise TransferError(f"{what}: more than {MAX_REDIRECTS} redirects.", hint="Use another mirror (HF_ENDPOINT).")


def _check_announced_sha256(reply: httpx2.Response, what: str, sha256: str) -> None:
    announced = reply.headers.get("X-Linked-ETag", "").strip('"')
    if len(announced) == _SHA256_DIGITS and announced != sha256:
        raise TransferError(
            f"{what} has changed on the hub: its sha256 is now {announced}, and {sha256} was expected.",
            hint="See what the repository holds now, and pull again.",
        )


def _check_status(reply: httpx2.Response, what: str, *, at_hub: bool) -> None:
    status, host = reply.status_code, reply.url.host
    if status in {200, 206}:
        kind = reply.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            raise TransferError(
                f"{what}: {host} answered with a web page instead of the file.",
                hint="A login page of this network or a proxy stands in between: open a browser and look.",
            )
        if reply.headers.get("Content-Encoding", "identity") not in {"", "identity"}:
            raise TransferError(
                f"{what}: {host} compressed the file although it was asked not to.",
                hint="A proxy stands in between: use another network or mirror (HF_ENDPOINT).",
            )
        return
    if status in RETRIED:
        raise TemporaryFailure(describe_status(status, host), retry_after(reply.headers.get("Retry-After")))
    if not at_hub and status in {400, 401, 403, 404, 410}:
        # The presigned location has expired; the next attempt asks the hub for a new one.
        raise TemporaryFailure(f"{host} no longer accepts the location that the hub gave (HTTP {status})", 0.0)
    if status == 416:
        raise TransferError(
            f"{what}: {host} has fewer bytes than the hub says.", hint="The file may have been replaced: pull again."
        )
    raise http_error(status, reply.headers, what, host)


def _incoming(reply: httpx2.Response, what: str) -> RangeReply:
    length = number(reply.headers.get("Content-Length"))
    start, total = 0, length
    if reply.status_code == 206:
        unit, _, span = reply.headers.get("Content-Range", "").partition(" ")
        first, _, rest = span.partition("-")
        if unit != "bytes" or not first.isdecimal():
            raise TemporaryFailure(f"{reply.url.host} sent a part of the file without saying which")
        start, total = int(first), number(rest.rpartition("/")[2])
    etag = reply.headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else None
    return RangeReply(start, total, strong, _blocks(reply, what))


def _blocks(reply: httpx2.Response, what: str) -> Iterator[bytes]:
    with _translated_errors(what):
        yield from reply.iter_raw()


def _with_retries(call: Callable[[], T], what: str, retry: RetryPolicy) -> T:
    while True:
        result = _call(call, what)
        if not isinstance(result, TemporaryFailure):
            return result
        if isinstance(result, NoConnection):
            raise TransferError(
                f"{what}: {result.reason}.",
                hint="Connect this board, or bring the file yourself (edgechat models add FILE).",
            )
        retry.wait_after(result, what)


def _call(call: Callable[[], T], what: str) -> T | TemporaryFailure:
    try:
        with _translated_errors(what):
            return call()
    except TemporaryFailure as failure:
        return failure
    except (ValueError, KeyError, TypeError) as error:
        # The hub's API answers in JSON of a known form; anything else came from another server.
        raise TransferError(
            f"{what}: the answer did not come from a model hub.",
            hint="A login page of this network, a proxy or a wrong HF_ENDPOINT answers: look with a browser.",
        ) from error


@contextlib.contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Turn the client library's errors into TransferError or TemporaryFailure."""
    import httpx2  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled  # noqa: PLC0415

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise TransferError(
            f"{what} was not fetched: HF_HUB_OFFLINE is set, so edgechat stays off the network.",
            hint="Unset it, or bring the file yourself (edgechat models add FILE).",
        ) from error
    except HfHubHTTPError as error:
        reply = error.response
        if reply.status_code in RETRIED:
            wait = retry_after(reply.headers.get("Retry-After"))
            raise TemporaryFailure(describe_status(reply.status_code, reply.url.host), wait) from error
        raise http_error(reply.status_code, reply.headers, what, reply.url.host) from error
    except HFValidationError as error:
        raise TransferError(f"{what}: {error}", hint="A repository is written ORG/REPO.") from error
    except httpx2.TimeoutException as error:
        kind = NoConnection if isinstance(error, httpx2.ConnectTimeout) else TemporaryFailure
        raise kind(_timeout_words(error)) from error
    except httpx2.ProxyError as error:
        raise TransferError(
            f"{what}: the proxy refused the connection ({error}).", hint="Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        ) from error
    except httpx2.ConnectError as error:
        if _is_certificate_problem(error):
            raise TransferError(
                f"{what}: the server's certificate is not trusted ({error}).",
                hint="Where a company's proxy inspects TLS, point SSL_CERT_FILE at the company's root certificate.",
            ) from error
        raise NoConnection(f"there is no connection ({error})") from error
    except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
        raise TemporaryFailure("the connection was cut") from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise TransferError(f"{what}: {error}", hint="Check HF_ENDPOINT and the proxy variables.") from error


def _configure_client() -> None:
    """Give huggingface-hub's client the TLS roots from the variables that other tools read too."""
    roots = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if roots == _configured["roots"]:
        return
    import httpx2  # noqa: PLC0415
    from huggingface_hub import set_client_factory  # noqa: PLC0415
    from huggingface_hub.utils._http import hf_request_event_hook  # noqa: PLC0415 - carries the offline switch

    try:
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=roots) if roots else True
    except (OSError, ssl.SSLError) as error:
        raise StateError(
            f"Cannot read the TLS roots in {roots}: {error}.", hint="Correct SSL_CERT_FILE or REQUESTS_CA_BUNDLE."
        ) from error
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [hf_request_event_hook]}
    set_client_factory(
        lambda: httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=STALL_TIMEOUT_S, verify=verify)
    )
    _configured["roots"] = roots


_configured: dict[str, str | None] = {"roots": None}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _timeout_words(error: httpx2.TimeoutException) -> str:
    import httpx2  # noqa: PLC0415

    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT_S:.0f} s"
    return "the connection stalled"


def _is_certificate_problem(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
