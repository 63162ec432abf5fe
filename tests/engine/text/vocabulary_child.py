"""Builds prompts with a real vocabulary: ``python vocabulary_child.py GGUF``, conversations as JSON on standard input.

llama.cpp must not be loaded into the process of a test. Only the vocabulary is read, so this takes a moment.
"""

import ctypes
import json
import sys
import time
from typing import Any

from edgechat.engine.native.lib import llama
from edgechat.engine.native.model import Model
from edgechat.engine.protocol.request import Message
from edgechat.engine.text.chat_template import CHATML, ChatTemplate
from edgechat.engine.text.prompt import build


def vocabulary(path: str) -> Model:
    """The model's vocabulary without its weights."""
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = Model.__new__(Model)
    model.handle = llama.llama_model_load_from_file(path.encode(), params)
    assert model.handle, f"{path} cannot be loaded"
    model.vocab = llama.llama_model_get_vocab(model.handle)
    model.n_vocab = llama.llama_vocab_n_tokens(model.vocab)
    model._buffer = ctypes.create_string_buffer(256)
    return model


def answer(model: Model, job: dict[str, Any]) -> dict[str, Any]:
    """One conversation as token ids and their spellings."""
    source = job.get("template") or model.chat_template or CHATML
    template = ChatTemplate(source, bos=model.bos_text, eos=model.eos_text)
    messages = [Message(role, content) for role, content in job["messages"]]
    began = time.process_time()
    prompt = build(messages, template, model, takes_system=job.get("takes_system", True), think=False)
    cpu_s = time.process_time() - began
    whole = template.render([{"role": m.role, "content": m.content} for m in messages], think=False)[:20_000]
    control = [model.text_of(token) for token in prompt.tokens if model.is_control(token)]
    return {
        "tokens": list(prompt.tokens) if len(prompt.tokens) < 10_000 else [],
        "n_tokens": len(prompt.tokens),
        "control": control if len(control) < 1000 else len(control),
        "naive": model.tokenize(whole, add_special=model.adds_bos, parse_special=True)[:10_000],
        "text": b"".join(model._read_piece(token, special=True) for token in prompt.tokens[:10_000]).decode(
            "utf-8", "replace"
        ),
        "rendered": whole[:100_000],
        "bos": model.bos_text if model.adds_bos else "",
        "cpu_s": cpu_s,
    }


if __name__ == "__main__":
    loaded = vocabulary(sys.argv[1])
    json.dump([answer(loaded, job) for job in json.load(sys.stdin)], sys.stdout)
