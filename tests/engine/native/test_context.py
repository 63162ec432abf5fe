"""What llama.cpp really allocates for a context, against the sizes that plans predict."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.models.gguf.header import read_header
from edgechat.models.planning.candidate import from_installed
from edgechat.models.planning.memory_need import compute_bytes, kv_by_layer
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.store.installed import starter

pytestmark = pytest.mark.engine

CHILD = """
import json, sys
from pathlib import Path
from edgechat.engine.native.context import Context
from edgechat.engine.native.model import Model
from edgechat.models.planning.plan import LoadSettings
settings = LoadSettings(**json.loads(sys.argv[2]))
Context(Model(Path(sys.argv[1]), settings), settings)
"""
BUFFER = re.compile(r"(KV|RS|output|compute) buffer size =\s*([\d.]+) MiB")


@pytest.mark.parametrize(
    "settings",
    [
        LoadSettings(4096),
        LoadSettings(2048, "q8_0", n_ubatch=32, n_seq_max=1, n_outputs_max=1),
        LoadSettings(1024, n_ubatch=256),
    ],
)
def test_the_shape_tells_what_llama_cpp_allocates(settings: LoadSettings) -> None:
    model = starter()
    assert model is not None, "the starter package belongs to the test environment"
    command = [sys.executable, "-c", CHILD, str(model.path), json.dumps(asdict(settings))]
    log = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stderr
    found = dict.fromkeys(("KV", "RS", "output", "compute"), 0.0)
    for kind, mebibytes in BUFFER.findall(log):
        found[kind] += float(mebibytes) * (1 << 20)
    shape = from_installed(model, read_header(model.path), load_board("ipc-8gb").cpu.features).shape

    assert sum(kv_by_layer(shape, settings)) == pytest.approx(found["KV"] + found["RS"], abs=20_000)
    computed = found["compute"] + found["output"]
    assert computed * 0.97 <= compute_bytes(shape, settings) <= computed * 1.25 + 500_000
