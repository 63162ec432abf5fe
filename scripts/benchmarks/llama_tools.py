"""Drive llama.cpp's own programs: llama-bench, llama-completion, llama-server. Knows their flags, not the contest."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.models.planning.plan import LoadSettings

_START_SECONDS = 120


class PeerFailedError(RuntimeError):
    """A peer ended badly or did not come up; the message holds its last words."""


def llama_bench(
    binary: Path, model: Path, settings: LoadSettings, *, prompt: int = 0, generate: int = 0, depth: int = 0
) -> float:
    """Tokens per second of one llama-bench test, after its own warm-up.

    Args:
        binary: llama-bench.
        model: a GGUF file.
        settings: threads, batches, KV type and load mode to run with.
        prompt: tokens to prefill, or 0.
        generate: tokens to decode, or 0.
        depth: tokens already in the context before the test begins.
    """
    command = [str(binary), "-m", str(model), "-r", "1", "-o", "json"]
    command += ["-p", str(prompt), "-n", str(generate), "-d", str(depth)]
    command += ["-t", str(settings.n_threads), "-b", str(settings.n_batch), "-ub", str(settings.n_ubatch)]
    command += ["-ctk", settings.kv_type, "-ctv", settings.kv_type, "-fa", "auto" if settings.flash_attn else "off"]
    command += ["-ngl", str(settings.n_gpu_layers), "-lm", _load_mode(settings), "--repack", str(int(settings.repack))]
    results = json.loads(_run(command))
    return float(results[0]["avg_ts"])


def completion_seconds(binary: Path, model: Path, settings: LoadSettings, text: str, *, n_ctx: int | None) -> float:
    """Wall time of ``llama-completion -n 1``: load, prefill of ``text`` and one token.

    Args:
        binary: llama-completion.
        model: a GGUF file.
        settings: gives the threads; everything else stays at the tool's defaults.
        text: the prompt, as it stands.
        n_ctx: context size, or None for the tool's default, which is the model's own.
    """
    command = [str(binary), "-m", str(model), "-p", text, "-n", "1", "-no-cnv", "-t", str(settings.n_threads)]
    command += [] if n_ctx is None else ["-c", str(n_ctx)]
    began = time.monotonic()
    _run(command)
    return time.monotonic() - began


class LlamaServer:
    """A running llama-server. Use as a context manager; it is stopped at the end, whatever happens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    @property
    def pid(self) -> int:
        """Process id, for its memory."""
        return self.process.pid

    def peak_rss(self) -> int:
        """VmHWM in bytes (proc(5))."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise PeerFailedError(f"/proc/{self.pid}/status has no VmHWM.")

    def post(self, path: str, body: dict[str, Any], *, timeout: float = 600) -> dict[str, Any]:
        """One streamed request; returns the last event, which holds ``timings``."""
        (last,) = deque(self.stream(path, body, timeout=timeout), maxlen=1)
        return last

    def stream(self, path: str, body: dict[str, Any], *, timeout: float = 600) -> Iterator[dict[str, Any]]:
        """The events of one request as they come; closing the iterator early cancels it.

        Streamed, because ours streams too: a client that reads along takes its share of the cores on both sides.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body | {"stream": True}), headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise PeerFailedError(f"llama-server answered {response.status}: {response.read(2000)!r}")
            for line in response:
                if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                    yield json.loads(line[6:])
                elif line.startswith(b"error: "):
                    raise PeerFailedError(f"llama-server broke off: {line[:2000]!r}")


@contextlib.contextmanager
def llama_server(
    binary: Path,
    model: Path,
    log: Path,
    settings: LoadSettings | None,
    *,
    threads: int,
    slots: int = 1,
    extra: tuple[str, ...] = (),
) -> Iterator[LlamaServer]:
    """A llama-server on a free loopback port, ready to answer.

    Args:
        binary: llama-server.
        model: a GGUF file.
        log: where its output goes.
        settings: what it is told; None leaves everything but the threads at its defaults.
        threads: for decode and prefill.
        slots: ``-np``: requests it works on at once.
        extra: further flags; of two that say the same the last one holds.
    """
    port = _free_port()
    command = [str(binary), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "--offline"]
    command += ["-t", str(threads), "-tb", str(threads)]
    if settings is not None:
        command += ["-c", str(settings.n_ctx), "-b", str(settings.n_batch), "-ub", str(settings.n_ubatch)]
        command += ["-ctk", settings.kv_type, "-ctv", settings.kv_type, "-fa", "auto" if settings.flash_attn else "off"]
        command += ["-ngl", str(settings.n_gpu_layers), "-lm", _load_mode(settings), "-np", str(slots), "-cram", "0"]
        command += [] if settings.repack else ["-nr"]
    command += extra
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            _wait_until_ready(process, port, log)
            yield LlamaServer(process, port)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        time.sleep(0.1)
    raise PeerFailedError(f"llama-server did not come up:\n{_tail(log)}")


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        return file.read().decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _load_mode(settings: LoadSettings) -> str:
    return {"mmap": "mmap", "read": "none"}[settings.load_mode]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace")[-2000:]
        raise PeerFailedError(f"{' '.join(command)} ended with {done.returncode}:\n{words}")
    return done.stdout.decode(errors="replace")
