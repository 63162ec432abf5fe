"""A model hub on loopback: model info, tree, resolve with a redirect to a presigned location on another host name.

Pages come from ``127.0.0.1`` and bytes from ``localhost``, which are two origins to a client, as the hub and its
storage are. :class:`Faults` switches one misbehaviour on at a time. Knows nothing of the code it tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

BLOCK = 256 * 1024


@dataclass
class Faults:
    """What goes wrong. Counters go down by one each time the fault is shown; -1 is for ever."""

    drop_after: int | None = None
    """Cut the connection after this many bytes of a body."""
    drops: int = 0
    drop_at_random: Any = None
    """A ``random.Random``: cut each of the next ``drops`` bodies at a random place."""
    ignore_range: bool = False
    """Answer 200 and the whole file whatever range is asked."""
    wrong_range: bool = False
    """Answer 206 for another range than asked."""
    changing_etag: bool = False
    """Another ETag at the storage each time."""
    lie_about_length: int = 0
    """Added to Content-Length at the storage (and the body ends where it really ends)."""
    linked_size: int = 0
    """Added to X-Linked-Size."""
    wrong_byte_at: int | None = None
    wrong_bytes: int = -1
    """How many bodies carry the wrong byte."""
    stall_after: int | None = None
    """Send this many bytes, then nothing."""
    stalls: int = 0
    redirect_circle: bool = False
    html: bool = False
    """The storage answers 200 with a page, as a captive portal does."""
    html_everywhere: bool = False
    """So does every other address."""
    too_many: int = 0
    """Answer 429 this often."""
    retry_after: str = "0"
    unavailable: int = 0
    """The storage answers 503 this often."""
    expired: int = 0
    """The storage answers 403 to a presigned location this often."""
    trickle: float = 0.0
    """Seconds to wait between blocks."""
    no_sha256: bool = False
    """Give no checksums anywhere."""
    not_found_after_info: bool = False


@dataclass
class HubFile:
    """One file of a repository."""

    path: Path
    size: int
    sha256: str


@dataclass
class Repository:
    """One model repository and its only commit."""

    name: str
    commit: str
    files: dict[str, HubFile] = field(default_factory=dict)
    gated: bool = False
    licence: str = "apache-2.0"


class HubServer:
    """A hub in a thread of this process. ``endpoint`` goes into HF_ENDPOINT."""

    def __init__(self, *, certificate: tuple[Path, Path] | None = None) -> None:
        self.faults = Faults()
        self.repositories: dict[str, Repository] = {}
        self.token = "hf_" + "t" * 34
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers of everything that was asked."""
        self.bytes_sent = 0
        self.signatures: set[str] = set()
        self.lock = threading.Lock()
        self.closing = threading.Event()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, repository: str, name: str, path: Path, *, gated: bool = False) -> HubFile:
        """Offer the file at ``path`` as ``name`` in ``repository``; adding makes a new commit."""
        hasher = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                hasher.update(block)
        entry = HubFile(path, path.stat().st_size, hasher.hexdigest())
        repo = self.repositories.setdefault(repository, Repository(repository, ""))
        repo.files[name] = entry
        repo.gated = gated
        listing = json.dumps({key: value.sha256 for key, value in sorted(repo.files.items())})
        repo.commit = hashlib.sha1(listing.encode()).hexdigest()
        return entry

    def remove(self, repository: str, name: str) -> None:
        """Take a file away, as repositories do."""
        repo = self.repositories[repository]
        del repo.files[name]
        repo.commit = hashlib.sha1(repo.commit.encode()).hexdigest()

    def take(self, counter: str) -> bool:
        """Whether the fault counted by ``counter`` is to be shown now."""
        with self.lock:
            left: int = getattr(self.faults, counter)
            if left == 0:
                return False
            if left > 0:
                setattr(self.faults, counter, left - 1)
            return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: HubServer
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests read ``HubServer.requests`` instead."""

    def do_HEAD(self) -> None:
        self.route()

    def do_GET(self) -> None:
        self.route()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.route(body)

    def route(self, body: bytes = b"") -> None:
        hub = self.server_hub
        url = urlsplit(self.path)
        path = unquote(url.path)
        hub.requests.append((self.command, self.path, dict(self.headers)))
        if path.startswith("/storage/"):
            self.storage(path, url.query)
        elif hub.faults.html_everywhere:
            self.answer(200, b"<html><body>Please log in to the guest network</body></html>", kind="text/html")
        elif hub.take("too_many"):
            self.answer(429, b"slow down", headers={"Retry-After": hub.faults.retry_after})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self.info(found[1], found[2] or "main", url.query)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path):
            self.tree(found[1], found[2])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/paths-info/([^/]+)", path):
            self.paths_info(found[1], found[2], body)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(found[1], found[2], found[3])
        else:
            self.answer(404, b"not found")

    def repository(self, name: str, revision: str, *, reading: bool = False) -> Repository | None:
        hub = self.server_hub
        if self.headers.get("Authorization", "").endswith("expired"):
            self.answer(401, b"", headers={"X-Error-Message": "Invalid credentials in Authorization header"})
            return None
        repo = hub.repositories.get(name)
        if repo is None:
            # The hub does not tell strangers which repositories do not exist.
            self.answer(401, b"", headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        if revision not in {"main", repo.commit}:
            self.answer(404, b"", headers={"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            return None
        if reading and repo.gated:
            given = self.headers.get("Authorization", "")
            if not given:
                message = f"Access to model {name} is restricted. You must have access to it and be authenticated."
                self.answer(401, b"", headers={"X-Error-Code": "GatedRepo", "X-Error-Message": message})
                return None
            if given != f"Bearer {hub.token}":
                message = f"Access to model {name} is restricted and you are not in the authorized list."
                self.answer(403, b"", headers={"X-Error-Code": "GatedRepo", "X-Error-Message": message})
                return None
        return repo

    def info(self, name: str, revision: str, query: str) -> None:
        if (repo := self.repository(name, revision)) is None:
            return
        blobs = parse_qs(query).get("blobs", ["false"])[0].lower() in {"true", "1"}
        siblings = [
            {"rfilename": path, **(self.entry(path, file) if blobs else {})} for path, file in repo.files.items()
        ]
        self.json({
            "_id": "0", "id": name, "modelId": name, "sha": repo.commit, "private": False, "disabled": False,
            "gated": "manual" if repo.gated else False, "downloads": 0, "likes": 0, "tags": [f"license:{repo.licence}"],
            "cardData": {"license": repo.licence, "language": ["en"]}, "siblings": siblings,
        })  # fmt: skip

    def entry(self, path: str, file: HubFile) -> dict[str, Any]:
        result: dict[str, Any] = {
            "type": "file", "path": path, "size": file.size, "oid": hashlib.sha1(path.encode()).hexdigest(),
            "blobId": hashlib.sha1(path.encode()).hexdigest(),
        }  # fmt: skip
        if not self.server_hub.faults.no_sha256:
            result["lfs"] = {"oid": file.sha256, "sha256": file.sha256, "size": file.size, "pointerSize": 135}
        return result

    def tree(self, name: str, revision: str) -> None:
        if (repo := self.repository(name, revision)) is not None:
            self.json([self.entry(path, file) for path, file in repo.files.items()])

    def paths_info(self, name: str, revision: str, body: bytes) -> None:
        if (repo := self.repository(name, revision)) is None:
            return
        asked = parse_qs(body.decode()).get("paths") or json.loads(body).get("paths", [])
        self.json([self.entry(path, repo.files[path]) for path in asked if path in repo.files])

    def resolve(self, name: str, revision: str, path: str) -> None:
        hub = self.server_hub
        if (repo := self.repository(name, revision, reading=True)) is None:
            return
        commit = {"X-Repo-Commit": repo.commit}
        file = repo.files.get(path)
        if file is None or hub.faults.not_found_after_info:
            self.answer(
                404, b"", headers={**commit, "X-Error-Code": "EntryNotFound", "X-Error-Message": "No such file"}
            )
            return
        if hub.faults.redirect_circle:
            self.answer(302, b"", headers={**commit, "Location": self.path})
            return
        signature = secrets.token_hex(8)
        hub.signatures.add(signature)
        linked = {} if hub.faults.no_sha256 else {"X-Linked-ETag": f'"{file.sha256}"'}
        location = f"{hub.scheme}://localhost:{hub.port}/storage/{file.sha256}?signature={signature}"
        self.answer(
            302,
            b"Found",
            headers={
                **commit,
                **linked,
                "X-Linked-Size": str(file.size + hub.faults.linked_size),
                "ETag": '"' + hashlib.sha1(path.encode()).hexdigest() + '"',
                "Location": location,
                "Accept-Ranges": "bytes",
            },
        )

    def storage(self, path: str, query: str) -> None:
        hub = self.server_hub
        signature = parse_qs(query).get("signature", [""])[0]
        if self.headers.get("Authorization"):
            # As object stores do with a presigned location and a second credential.
            self.answer(400, b"Only one auth mechanism allowed")
            return
        if signature not in hub.signatures or hub.take("expired"):
            hub.signatures.discard(signature)
            self.answer(403, b"Request has expired")
            return
        if hub.take("unavailable"):
            self.answer(503, b"busy", headers={"Retry-After": hub.faults.retry_after})
            return
        if hub.faults.html:
            self.answer(200, b"<html><body>Please log in to the guest network</body></html>", kind="text/html")
            return
        wanted = path.rpartition("/")[2]
        files = [file for repo in hub.repositories.values() for file in repo.files.values() if file.sha256 == wanted]
        if not files:
            self.answer(404, b"gone")
            return
        self.body(files[0])

    def body(self, file: HubFile) -> None:
        hub = self.server_hub
        etag = f'"{secrets.token_hex(8) if hub.faults.changing_etag else file.sha256[:32]}"'
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and not hub.faults.ignore_range and self.headers.get("If-Range", etag) == etag:
            start, status = int(asked[1]), 206
            if start >= file.size:
                self.answer(416, b"", headers={"Content-Range": f"bytes */{file.size}", "ETag": etag})
                return
            if hub.faults.wrong_range:
                start = max(0, start - 1)
        length = file.size - start
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(length + hub.faults.lie_about_length))
        self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{file.size - 1}/{file.size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.send_file(file, start)

    def send_file(self, file: HubFile, start: int) -> None:
        faults, hub = self.server_hub.faults, self.server_hub
        stop: int | None = None
        if faults.drop_at_random is not None and hub.take("drops"):
            stop = start + faults.drop_at_random.randrange(file.size - start)
        elif faults.drop_after is not None and hub.take("drops"):
            stop = start + faults.drop_after
        stall: int | None = None
        if faults.stall_after is not None and hub.take("stalls"):
            stall = start + faults.stall_after
        wrong = faults.wrong_byte_at
        if wrong is not None and not (start <= wrong and hub.take("wrong_bytes")):
            wrong = None
        with file.path.open("rb") as stream:
            if stop is None and stall is None and wrong is None and not faults.trickle:
                self.wfile.flush()
                sent = self.connection.sendfile(stream, start)
                hub.bytes_sent += sent
            else:
                stream.seek(start)
                self.send_blocks(stream, start, stop, stall, wrong)
        if faults.lie_about_length:
            self.close_connection = True

    def send_blocks(self, stream: Any, at: int, stop: int | None, stall: int | None, wrong: int | None) -> None:
        hub = self.server_hub
        while block := bytearray(stream.read(BLOCK)):
            end = at + len(block)
            if wrong is not None and at <= wrong < end:
                block[wrong - at] ^= 0xFF
            limit = min(value for value in (stop, stall, end) if value is not None)
            self.connection.sendall(block[: limit - at])
            hub.bytes_sent += limit - at
            if limit == stall:
                hub.closing.wait(30)
            if limit in {stop, stall}:
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            at = end
            time.sleep(hub.faults.trickle)

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), kind="application/json")

    def answer(
        self, status: int, body: bytes, *, headers: dict[str, str] | None = None, kind: str = "text/plain"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
