#!/usr/bin/env python3
"""Let clients of other makes talk to a real server: LangChain's, and the `llm` command with its own configuration.

    scripts/drills/other_clients.py --python PYTHON

Neither is a dependency of the project: PYTHON is that of an environment with `langchain-openai` and `llm` installed.
What is missing there is left out, and said. Prints what each client got; the exit status is 1 when one got nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.drills.server import Served

LANGCHAIN = """
import sys
from langchain_openai import ChatOpenAI
chat = ChatOpenAI(base_url=sys.argv[1], api_key="none", model="default", temperature=0, max_tokens=40, max_retries=0)
print("invoke:", repr(chat.invoke([("system", "Be brief."), ("human", "Name one color.")]).content))
print("stream:", repr("".join(piece.content for piece in chat.stream("Name one river."))))
risk = {"title": "risk", "type": "object", "properties": {"level": {"enum": ["low", "high"]}}, "required": ["level"],
        "additionalProperties": False}
asked = chat.with_structured_output(risk, method="json_schema")
print("schema:", repr(asked.invoke("Rain at 90 km/h: how risky?")))
"""

MODELS = """
- model_id: board
  model_name: default
  api_base: {url}/v1
  api_key_name: board
"""


def langchain(python: Path, url: str) -> subprocess.CompletedProcess[str]:
    """LangChain's OpenAI client."""
    return subprocess.run(
        [python, "-c", LANGCHAIN, f"{url}/v1"], capture_output=True, text=True, timeout=120, check=False
    )


def llm(python: Path, url: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The `llm` command, told of this server in the way its manual says."""
    home.mkdir()
    (home / "extra-openai-models.yaml").write_text(MODELS.format(url=url))
    (home / "keys.json").write_text('{"board": "none"}')
    return subprocess.run(
        [python, "-m", "llm", "-m", "board", "-o", "max_tokens", "16", "Name one color."],
        env={**os.environ, "LLM_USER_PATH": str(home)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def main() -> int:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", type=Path, required=True)
    python = parser.parse_args().python
    failed = False
    with tempfile.TemporaryDirectory() as home, Served(Path(home) / "edgechat") as served:
        served.wait_ready()
        for name, done in (
            ("langchain-openai", langchain(python, served.url)),
            ("llm", llm(python, served.url, Path(home) / "llm")),
        ):
            if "No module named" in done.stderr:
                print(f"{name}: not installed in that environment")
                continue
            is_good = done.returncode == 0 and bool(done.stdout.strip())
            failed |= not is_good
            print(f"{name}: {'ok' if is_good else 'FAILED'}\n{(done.stdout if is_good else done.stderr).rstrip()}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
