#!/usr/bin/env python3
"""Hold the vectors of /v1/embeddings against llama-server's, with the same file and OpenAI's client for both.

    scripts/measure/check_embeddings.py --llama-server FILE [MODEL.gguf ...]

Without a model it makes six: a small encoder (cls and mean pooling), a small decoder (last and mean), and the starter
model told to pool (last and mean). Prints each text's cosine and the largest difference of a value; the exit status is
1 when a cosine is below 0.9999 or the tokens differ.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import openai

from edgechat.models.store.installed import starter
from scripts.benchmarks.llama_tools import llama_server
from scripts.drills.server import Served
from tests.engine.embedding_models import WORDS, tiny_bert, tiny_llama, with_pooling

LEAST_COSINE = 0.9999
SIMPLE = ["the river rises when the snow melts", "a cat sat on the mat", " ".join(["cold"] * 38)]
LONG = " ".join([*WORDS, *["snow melts"] * 230])
REAL = [
    "The capital of France is Paris.",
    "東京は日本の首都です。",
    "def f(x):\n    return x + 1\n",
    "Snow melts. " * 60,
]


def made(folder: Path) -> dict[Path, list[str]]:
    """Models, and texts for each."""
    found: dict[Path, list[str]] = {}
    for pooling in ("cls", "mean"):
        tiny_bert(folder / f"bert-{pooling}.gguf", pooling)
        found[folder / f"bert-{pooling}.gguf"] = SIMPLE
    for pooling in ("last", "mean"):
        tiny_llama(folder / f"llama-{pooling}.gguf", pooling)
        found[folder / f"llama-{pooling}.gguf"] = [*SIMPLE, LONG]
    if chat := starter():
        for pooling in ("last", "mean"):
            found[with_pooling(chat.path, folder / f"smollm2-{pooling}.gguf", pooling)] = REAL
    return found


def vectors(url: str, texts: list[str]) -> tuple[list[list[float]], int]:
    """What a server makes of texts, and the tokens it counted."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="default", input=texts, encoding_format="float")
    return [each.embedding for each in answer.data], answer.usage.prompt_tokens


def compare(model: Path, texts: list[str], server: Path, folder: Path) -> bool:
    """Both servers, one after the other; True when they agree."""
    with Served(folder / f"home-{model.stem}", "-m", str(model)) as served:
        served.wait_ready()
        ours, our_tokens = vectors(served.url, texts)
    # One slot: with more it reads texts together, and a text's vector depends on its neighbours.
    flags = ("--embedding", "-np", "1", "-b", "2048", "-ub", "2048" if "mean" in model.stem else "512")
    with llama_server(server, model, folder / "peer.log", None, threads=2, extra=flags) as peer:
        theirs, their_tokens = vectors(f"http://127.0.0.1:{peer.port}", texts)
    is_good = our_tokens == their_tokens
    print(f"{model.stem}: {our_tokens} tokens, llama-server {their_tokens}")
    for text, a, b in zip(texts, ours, theirs, strict=True):
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
        apart = max(abs(x - y) for x, y in zip(a, b, strict=True))
        print(
            f"  {text[:24]!r:28} {len(a)} values  cosine {cosine:.8f}  apart {apart:.1e}  length {math.hypot(*a):.7f}"
        )
        is_good &= cosine >= LEAST_COSINE
    return is_good


def main() -> int:
    """Make the models where none is named, and compare each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--llama-server", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {path.absolute(): REAL for path in arguments.models} or made(folder)
        agreed = [compare(model, texts, arguments.llama_server, folder) for model, texts in models.items()]
    return int(not all(agreed))


if __name__ == "__main__":
    sys.exit(main())
