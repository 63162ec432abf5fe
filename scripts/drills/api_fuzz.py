#!/usr/bin/env python3
"""Fuzz the server from its own description at /openapi.json, by schemathesis.

    scripts/drills/api_fuzz.py [--schemathesis COMMAND] [--examples 100] [--seconds 600] [--seed 1] [--workers 4]
                        [--resident chat|embedding]

schemathesis is no dependency of the project; install it in an environment of its own and name its command. It makes
requests that fit the description and requests that do not, and holds every response against it: only the described
statuses (503 is one, 500 is none), content types and bodies. It does so twice: with the starter model, and with a small
embedding model, made here, which answers /v1/embeddings and refuses conversations. Afterwards the server must be the
same process and answer, no engine may have died, and no traceback may be there. Answers are kept short by a small
context and --timeout.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2 as httpx

from edgechat.engine.client import exit_report
from edgechat.engine.state import exit_reason
from scripts.drills.server import Served, chat

CHECKS = (
    "status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,negative_data_rejection,unsupported_method"
)


def embedding_model(folder: Path) -> Path:
    """A small model that makes vectors."""
    from tests.engine.embedding_models import tiny_llama

    model = folder / "tiny.gguf"
    tiny_llama(model, "mean")
    return model


def fuzz(options: argparse.Namespace, folder: Path, resident: str) -> bool:
    """One round with one kind of model; True when nothing was found."""
    if resident == "chat":
        flags = ("--ctx", "512")
        path, body = "/v1/chat/completions", chat("Say hi.", 4)
    else:
        flags = ("-m", str(embedding_model(folder)))
        path, body = "/v1/embeddings", {"input": ["the river rises", "snow melts"]}
    with Served(folder / f"home-{resident}", *flags, "--timeout", "1", "--parallel", "4") as served:
        served.wait_ready()
        engine = served.engine_pid()
        command = [
            options.schemathesis, "run", f"{served.url}/openapi.json", "--checks", CHECKS, "--seed", str(options.seed),
            "--max-examples", str(options.examples), "--max-time", str(options.seconds),
            "--workers", str(options.workers), "--request-timeout", "60",
            "--no-shrink", "--continue-on-failure", "--no-color",
            "--suppress-health-check", "all", "--generation-database", "none",
        ]  # fmt: skip
        fuzzed = subprocess.run(command, check=False)
        with served.http() as http:
            counted = http.get("/metrics").text
            again = http.post(path, json=body).status_code
        said = served.said.read_text("utf-8", "replace")
        now = served.engine_pid()
        findings = {
            "the server died": served.process.poll() is not None,
            "an engine died": bool(exit_reason.history(served.paths.state)),
            f"{path} does not answer afterwards": again != httpx.codes.OK,
            f"{path} answered no request of the fuzz": f'endpoint="{path}",status="200"' not in counted,
            "a defect was reported": "this is a defect" in said,
            "a 500 was counted": 'status="500"' in counted,
            "schemathesis found something": fuzzed.returncode != 0,
        }
    print(f"\nWith a model of the kind {resident}:")
    for each in exit_reason.history(served.paths.state):
        print(exit_report.sentence(each))
    if now != engine:
        print(f"The engine was process {engine} and is {now}; one also leaves where memory gets short.")
    print("\n".join(line for line in counted.splitlines() if line.startswith("edgechat_requests_total")))
    for text, is_so in findings.items():
        print(f"{'FOUND' if is_so else 'not so'}: {text}", flush=True)
    if any(findings.values()):
        print(f"The server said:\n{said[-4000:]}", flush=True)
    return not any(findings.values())


def main() -> int:
    """Parse, and run each round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--schemathesis", default=shutil.which("schemathesis"), metavar="COMMAND")
    parser.add_argument("--examples", type=int, default=100, help="for each operation")
    parser.add_argument("--seconds", type=int, default=600, help="for each kind of model")
    parser.add_argument("--seed", type=int, default=1)
    # Python 3.11's parser fails at times when several threads are in it ("AST constructor recursion depth mismatch").
    parser.add_argument("--workers", type=int, default=4, help="threads; 1 where they stumble over each other")
    parser.add_argument("--resident", choices=("chat", "embedding"), help="one kind of model alone")
    options = parser.parse_args()
    if not options.schemathesis:
        parser.error("schemathesis is not installed; name its command with --schemathesis")
    kinds = (options.resident,) if options.resident else ("chat", "embedding")
    with tempfile.TemporaryDirectory() as folder:
        good = [fuzz(options, Path(folder), kind) for kind in kinds]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
