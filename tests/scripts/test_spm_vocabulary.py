"""A trained vocabulary, written into a tiny model, means the same to llama.cpp as to sentencepiece."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.workshop import shape_models, spm_vocabulary

pytestmark = pytest.mark.process

sentencepiece = importlib.import_module("sentencepiece")

SCRIPTS = Path(__file__).parents[2] / "scripts"
N_VOCAB = 800
TEXTS = (
    "The engine decodes 1234567 tokens.",
    "  leading spaces, trailing  ",
    "tab\tnew\nline",
    "東京の天気は晴れです",
    "Überhitzung im Gehäuse: 71,5 °C",
    "Привет, 한국어, ไทย",
    "🙂 an emoji that no piece covers",
    "def f(x): return {'a': [x] * 3}",
)
# llama.cpp aborts where it dislikes a file: it is asked in a process of its own.
TOKENIZE = """
import ctypes, json, sys
from scripts.measure import measure_memory
llama = measure_memory._low_level_llama()
params = llama.llama_model_default_params()
params.vocab_only = True
vocab = llama.llama_model_get_vocab(llama.llama_model_load_from_file(sys.argv[1].encode(), params))
def ids(text):
    raw = text.encode()
    found = (ctypes.c_int32 * (len(raw) + 8))()
    return found[: llama.llama_tokenize(vocab, raw, len(raw), found, len(found), False, False)]
print(json.dumps([ids(text) for text in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A complete model of a few megabytes and the sentencepiece model its vocabulary came from."""
    out = tmp_path_factory.mktemp("spm")
    corpus = [line for path in sorted(SCRIPTS.rglob("*.py")) for line in path.read_text("utf-8").splitlines()]
    pieces = out / f"spm-{N_VOCAB}.model"
    spm_vocabulary.train(pieces, N_VOCAB, [*corpus, *TEXTS[:5]])
    shape = replace(
        shape_models.SHAPES["tinyllama-1.1b"], n_layer=2, n_embd=64, n_ff=128, n_head=4, n_head_kv=2,
        n_vocab=N_VOCAB, n_ctx_train=512,
    )  # fmt: skip
    path = shape_models.write_f16(shape, out, out / "tiny.gguf")
    return path, sentencepiece.SentencePieceProcessor(model_file=str(pieces))


@pytest.mark.process
def test_llama_and_sentencepiece_give_the_same_ids(model):
    path, pieces = model
    done = subprocess.run(
        [sys.executable, "-c", TOKENIZE, str(path)],
        input=json.dumps(TEXTS), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [pieces.encode(text) for text in TEXTS]


@pytest.mark.process
def test_the_model_runs_and_its_logits_are_finite(model):
    path, _ = model
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "measure/measure_memory.py"), str(path), "--n-ctx", "256", "--n-threads", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["logits"]["finite"]
    assert 2 < found["logits"]["max"] < 40
    assert found["mapped_model_bytes"] > 0.9 * found["file_bytes"]
    assert found["peak_rss_bytes"] == found["unreclaimable_bytes"] + found["mapped_model_bytes"]
