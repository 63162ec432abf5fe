#!/usr/bin/env python3
"""Fuzz the server from its own description at /openapi.json, by schemathesis.

    scripts/api_fuzz.py [--schemathesis COMMAND] [--examples 100] [--seconds 600] [--seed 1]

schemathesis is no dependency of the project; install it in an environment of its own and name its command. It makes
requests that fit the description and requests that do not, and holds every response against it: only the described
statuses (503 is one, 500 is none), content types and bodies. Afterwards the server must be the same process, its
engine too, answer a chat, and have written no traceback. Answers are kept short by a small context and --timeout.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2 as httpx

sys.path.insert(0, str(Path(__file__).resolve().parent))
from served import Served, chat

CHECKS = (
    "status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,negative_data_rejection,unsupported_method"
)


def main() -> int:
    """Parse, run, look at the server afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--schemathesis", default=shutil.which("schemathesis"), metavar="COMMAND")
    parser.add_argument("--examples", type=int, default=100, help="for each operation")
    parser.add_argument("--seconds", type=int, default=600, help="for the whole run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not options.schemathesis:
        parser.error("schemathesis is not installed; name its command with --schemathesis")
    with (
        tempfile.TemporaryDirectory() as home,
        Served(Path(home), "--ctx", "512", "--timeout", "1", "--parallel", "4") as served,
    ):
        served.wait_ready()
        engine = served.engine_pid()
        command = [
            options.schemathesis, "run", f"{served.url}/openapi.json", "--checks", CHECKS, "--seed", str(options.seed),
            "--max-examples", str(options.examples), "--workers", "4", "--max-time", str(options.seconds),
            "--request-timeout", "60",
            "--no-shrink", "--continue-on-failure", "--no-color",
            "--suppress-health-check", "all", "--generation-database", "none",
        ]  # fmt: skip
        fuzzed = subprocess.run(command, check=False)
        with served.http() as http:
            again = http.post("/v1/chat/completions", json=chat("Say hi.", 4)).status_code
            counted = http.get("/metrics").text
        said = served.said.read_text("utf-8", "replace")
        findings = {
            "the server died": served.process.poll() is not None,
            "the engine died": served.engine_pid() != engine,
            "a chat is not answered afterwards": again != httpx.codes.OK,
            "a defect was reported": "this is a defect" in said,
            "a 500 was counted": 'status="500"' in counted,
            "schemathesis found something": fuzzed.returncode != 0,
        }
    print("\n".join(line for line in counted.splitlines() if line.startswith("edgechat_requests_total")))
    for text, is_so in findings.items():
        print(f"{'FOUND' if is_so else 'not so'}: {text}")
    return int(any(findings.values()))


if __name__ == "__main__":
    sys.exit(main())
