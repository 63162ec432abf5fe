"""llama.cpp's dry run on the real starter model, and what it does to a plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgechat.board.probe.known import load_board
from edgechat.engine.native.rehearsal import sizes
from edgechat.engine.selection.dry_run import confirmed, dry_run
from edgechat.errors import EngineError
from edgechat.models.gguf.header import read_header
from edgechat.models.planning.fit import FitWish
from edgechat.models.planning.installed_choice import candidate_of, pick
from edgechat.models.planning.memory_need import compute_bytes, kv_by_layer
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.store.installed import InstalledModel, starter

pytestmark = pytest.mark.engine


def _starter() -> InstalledModel:
    model = starter()
    assert model is not None, "the starter package belongs to the test environment"
    return model


MODEL = _starter()
BOARD = load_board("ipc-8gb")


@pytest.mark.parametrize(
    "settings",
    [
        LoadSettings(4096),
        LoadSettings(2048, "q8_0", n_ubatch=32, n_seq_max=1, n_outputs_max=1),
        LoadSettings(1024, n_ubatch=256),
    ],
)
def test_the_shape_tells_what_llama_cpp_would_allocate(settings):
    found = dry_run(MODEL.path, settings)
    shape = candidate_of(MODEL, read_header(MODEL.path), BOARD, {}).shape

    assert sum(kv_by_layer(shape, settings)) == pytest.approx(found.kv, abs=20_000)
    assert found.compute * 0.97 <= compute_bytes(shape, settings) <= found.compute * 1.25 + 500_000


def test_a_plan_that_agrees_stays_and_says_so():
    plan = pick(BOARD, [MODEL], FitWish()).ladder[0]

    checked = confirmed(plan, MODEL.path)

    assert checked.memory == plan.memory
    assert "dry run agrees" in checked.reasons[-1]


def test_a_prediction_that_was_too_small_is_corrected_and_may_no_longer_fit():
    plan = pick(BOARD, [MODEL], FitWish()).ladder[0]
    short = replace(
        plan, memory=replace(plan.memory, kv=plan.memory.kv // 4), available=plan.reserve + plan.memory.host - 1
    )

    checked = confirmed(short, MODEL.path)

    assert checked.memory.kv == pytest.approx(plan.memory.kv, abs=20_000)
    assert not checked.fits
    assert "dry run needs" in checked.reasons[-1]


def test_a_file_llama_cpp_refuses_is_named(tmp_path):
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(100))

    with pytest.raises(EngineError, match=r"broken\.gguf"):
        dry_run(file, LoadSettings(512))


def test_sliding_and_recurrent_caches_are_all_counted():
    log = [
        "llama_kv_cache: size =   16.00 MiB (  4096 cells,   4 layers,  4/1 seqs), K (f16): 8.00 MiB\n",
        "llama_kv_cache: size =   49.50 MiB (  2304 cells,  22 layers,  4/1 seqs), K (f16): 24.75 MiB\n",
        "llama_memory_recurrent:        CPU RS buffer size =     0.62 MiB\n",
        "sched_reserve:        CPU compute buffer size =    13.88 MiB\n",
        "llama_context:        CPU  output buffer size =     4.00 MiB\n",
    ]

    assert {kind: round(size / (1 << 20), 2) for kind, size in sizes(log).items()} == {
        "kv": 65.5,
        "RS": 0.62,
        "compute": 13.88,
        "output": 4.0,
    }
