#!/usr/bin/env python3
"""Measure edgechat beside another busy process, against llama-server in the same run.

    scripts/measure/neighbour.py FILE.gguf [--rounds 3]

How much memory does an answer take, and how fast is it, at n_ctx 4096 (llama-server at its defaults)? And what is left
of the decode speed beside one busy process: with our governor, with llama-server's threads as planned, and with one
thread, which is the best fixed count on two cores? Peers come from ``scripts/benchmarks/peers.py``; prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks import peers

N_CTX = 4096
PORT = 18765
SETTLE_S = 2.0


def prompt() -> str:
    """A prompt that no cache has seen."""
    return f"{time.monotonic_ns()} Write a very long story about the sea and the land. " * 6


def ask(model: Path, tokens: int) -> dict[str, Any]:
    """Statistics of one greedy answer of ours."""
    arguments = ["-m", str(model), "--ctx", str(N_CTX), "-n", str(tokens), "--temp", "0", "--stats=json", prompt()]
    done = subprocess.run(
        [sys.executable, "-m", "edgechat", "ask", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    stats: dict[str, Any] = json.loads([line for line in done.stderr.splitlines() if line.startswith("{")][-1])
    return stats


class Server:
    """llama-server on loopback, at its defaults but for the context and the threads."""

    def __init__(self, model: Path, threads: int) -> None:
        binary = peers.binary("llama-server", "default", peers.bench_dir())
        self._process = subprocess.Popen(
            [str(binary), "-m", str(model), "-c", str(N_CTX), "-t", str(threads), "--host", "127.0.0.1", "--port",
             str(PORT)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health") as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("llama-server did not become ready")

    def decode_tps(self, tokens: int) -> float:
        """Its own figure for one greedy answer."""
        body = {"prompt": prompt(), "n_predict": tokens, "temperature": 0, "cache_prompt": False, "ignore_eos": True}
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return float(json.load(answer)["timings"]["predicted_per_second"])

    def peak_bytes(self) -> int:
        """VmHWM of the server."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class Busy:
    """One process that computes all the time."""

    def __enter__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(1)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", help="an edgechat home to use, with its calibration")
    given = parser.parse_args()
    model, threads = given.model.absolute(), os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as home:
        os.environ["EDGECHAT_HOME"] = given.home or home
        ask(model, 2)
        quiet: list[dict[str, Any]] = []
        busy: list[float] = []
        server_quiet: list[float] = []
        server = Server(model, threads)
        for _ in range(given.rounds):
            time.sleep(SETTLE_S)
            quiet.append(ask(model, 48))
            time.sleep(SETTLE_S)
            server_quiet.append(server.decode_tps(48))
        peak = server.peak_bytes()
        server_busy = []
        for _ in range(given.rounds):
            with Busy():
                server_busy.append(server.decode_tps(32))
                busy.append(ask(model, 64)["decode_tps"])
        server.stop()
        server = Server(model, 1)
        single = []
        for _ in range(given.rounds):
            with Busy():
                single.append(server.decode_tps(32))
        server.stop()
        subprocess.run([sys.executable, "-m", "edgechat", "stop"], check=True, capture_output=True)
    ours_peak = max(each["peak_rss_bytes"] for each in quiet)
    ours_quiet = median(each["decode_tps"] for each in quiet)
    rows = [
        ("peak memory, MB", ours_peak / 1e6, "llama-server", peak / 1e6),
        ("decode, tok/s", ours_quiet, f"llama-server -t {threads}", median(server_quiet)),
        ("decode beside a busy process", median(busy), f"llama-server -t {threads}", median(server_busy)),
        ("decode beside a busy process", median(busy), "llama-server -t 1", median(single)),
    ]
    print(f"{model.stem}, n_ctx {N_CTX}, medians of {given.rounds}\n")
    print("| measure | edgechat | peer | its figure | ratio |\n|---|---|---|---|---|")
    for name, ours, peer, theirs in rows:
        print(f"| {name} | {ours:,.1f} | {peer} | {theirs:,.1f} | {ours / theirs:.3f} |")


if __name__ == "__main__":
    main()
