"""Chooses the model file that an engine loads, and the plan: from the client's wish, the pin and the free memory.

Runs in the engine process when it loads a model. The file's header is read with our own reader before llama.cpp opens
the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Wish, is_path
from edgechat.engine.selection.gpu_probe import GpuProbe, describe_refusal, probe_plans
from edgechat.engine.state.oom_history import OomHistory
from edgechat.errors import DoesNotFitError, ModelNotFoundError, NoModelError
from edgechat.models.catalog.names import recognise_tag
from edgechat.models.gguf import header as gguf
from edgechat.models.gguf.checks import require_loadable
from edgechat.models.gguf.header_shape import pooling_of
from edgechat.models.planning.calibration import read_calibration
from edgechat.models.planning.context_length import DEFAULT_N_CTX
from edgechat.models.planning.installed_choice import choose_installed
from edgechat.models.planning.plan import PlanRequest
from edgechat.models.store.installed import STARTER_NAME, InstalledModel, find, installed
from edgechat.models.store.pin import read_pin
from edgechat.plaintext import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.state.pressure_history import RecentPressure
    from edgechat.models.gguf.header_shape import Pooling
    from edgechat.models.planning.plan import Plan
    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class Choice:
    """A model file and the plan to load it by."""

    name: str
    quant: str
    path: Path
    plan: Plan
    ladder: tuple[Plan, ...]
    """This plan and the smaller ones below it, for stepping down."""
    sha256: str | None = None
    """Of the file, where its install recorded one."""
    languages: tuple[str, ...] = ()
    thinking_off: dict[str, bool] = field(default_factory=dict)
    """Template variables that switch this model's thinking off."""
    sampling: dict[str, float] = field(default_factory=dict)
    is_starter: bool = False
    wished_n_ctx: int = 0
    """The context that was asked for, or the plan's own when none was."""
    is_default: bool = False
    """True when this is the model that a request without a name gets: it was not named, or is the same as then."""
    mmproj: Path | None = None
    """The projector file for image input."""
    pooling: Pooling | None = None
    """How it makes a text's vector; None for a model that writes text."""
    is_whole: bool = True
    """The plan reduces nothing that changes answers (KV type, context), which an exact wish requires."""
    stepped_down_from: str | None = None
    """The plan that more memory would have allowed; None where this is the best plan."""
    stepped_down_why: str = ""
    """Why, as the beginning of a sentence: that plan ran out of memory, the GPU refused it, or memory was short."""

    @property
    def label(self) -> str:
        """``name:quant``."""
        return f"{self.name}:{self.quant.lower()}"


def choose(
    wish: Wish,
    *,
    paths: Paths,
    config: Config,
    board: Board,
    offload: bool,
    oom_history: OomHistory,
    pressure: RecentPressure | None = None,
    probe: Callable[[Plan], GpuProbe] | None = None,
) -> Choice:
    """Choose one file and plan.

    Args:
        wish: what the client asked for.
        paths: where models and the pin are.
        config: settings for what the wish leaves open.
        board: the machine, with the memory that is free now.
        offload: whether this llama.cpp was built to use a GPU.
        oom_history: plans that ran out of memory since boot.
        pressure: memory was short in the last hour: limits a context that was not asked for.
        probe: tests whether a GPU that shares the memory can allocate a plan's buffers; None trusts its report.

    Raises:
        ModelNotFoundError: the wished model is not there.
        NoModelError: nothing is installed at all.
        DoesNotFitError: no plan for it fits this board.
        InvalidModelFileError: the file is damaged or not a GGUF.
    """
    wanted = find_models(wish, paths=paths, config=config)
    is_exact = wish.exact and wanted.is_pinned
    plan_request = PlanRequest(n_ctx=wanted.n_ctx, threads=config.threads, offload=offload, exact=is_exact)
    measured = read_calibration(paths, board)
    models = list(wanted.models)
    limited = oom_history.limited(board)
    refusal: GpuProbe | None = None
    largest_left = 0  # bytes of the largest plan that has not run out of memory
    while True:
        model, header, ladder = choose_installed(limited, models, plan_request, measured)
        fitting = [plan for plan in ladder if plan.fits]
        left = [plan for plan in fitting if oom_history.allows(plan.label, plan.memory.host)]
        largest_left = max(largest_left, left[0].memory.host if left else 0)
        if left and probe is not None:
            answer = probe_plans(left, board, probe)
            left, refusal = list(answer.plans), answer.refusal or refusal
        if left:
            break
        # No plan of this file is left: try another quantization, then another model.
        models.remove(model)
        if not models:
            raise _too_large(
                ladder[-1], died=bool(fitting), is_hidden=limited is not board, is_exact=is_exact, refusal=refusal
            )
    require_loadable(header)
    if pressure is not None and wanted.n_ctx is None and not is_exact:
        left = [each for each in left if each.settings.n_ctx <= pressure.n_ctx] or left[-1:]
    plan = left[0]
    full = plan
    if oom_history != OomHistory() or pressure is not None or refusal is not None:
        full = next(filter(_fits, choose_installed(board, wanted.models, plan_request, measured).ladder), plan)
    has_stepped_down = full.memory.host > plan.memory.host
    return Choice(
        name=model.name,
        quant=model.quant,
        path=model.path,
        plan=plan,
        ladder=tuple(left),
        sha256=model.sha256,
        languages=model.languages,
        thinking_off=dict(model.thinking),
        sampling=dict(model.sampling),
        is_starter=model.name == STARTER_NAME,
        is_default=wanted.is_default or _is_also_default(model, limited, plan_request, paths=paths, config=config),
        is_whole=_is_whole(plan, ladder[0], wanted.n_ctx),
        mmproj=model.mmproj,
        pooling=pooling_of(header),
        wished_n_ctx=max(wanted.n_ctx or 0, plan.settings.n_ctx),
        stepped_down_from=describe(full) if has_stepped_down else None,
        stepped_down_why=_why_less(pressure, refusal, has_died=largest_left < full.memory.host)
        if has_stepped_down
        else "",
    )


def _is_also_default(
    model: InstalledModel, board: Board, request: PlanRequest, *, paths: Paths, config: Config
) -> bool:
    """Whether a request that names nothing would have got the same file, so that it need not be loaded again."""
    try:
        default = find_models(Wish(), paths=paths, config=config)
    except NoModelError:
        return False  # the pinned model is gone, which concerns only requests that name none
    if not any(each.path == model.path for each in default.models):
        return False
    return not default.is_default or choose_installed(board, default.models, request).model.path == model.path


def _why_less(pressure: RecentPressure | None, refusal: GpuProbe | None, *, has_died: bool) -> str:
    """Why the best plan is not loaded: the first cause in order, since later ones only saw the plans that it left."""
    if has_died:
        return "Memory ran out earlier"
    if refusal is not None:
        return "The GPU gave less memory than was wanted of it"
    return pressure.description if pressure is not None else ""


def _is_whole(plan: Plan, largest: Plan, n_ctx: int | None) -> bool:
    """Whether a plan has the KV type of the largest one, and the context that was asked for or is the default."""
    enough = largest.settings.n_ctx if n_ctx else min(DEFAULT_N_CTX, largest.settings.n_ctx)
    return plan.settings.kv_type == largest.settings.kv_type and plan.settings.n_ctx >= enough


def _fits(plan: Plan) -> bool:
    return plan.fits


def _too_large(
    smallest: Plan, *, died: bool, is_hidden: bool, is_exact: bool, refusal: GpuProbe | None
) -> DoesNotFitError:
    hint = "Close other programs, ask for a smaller context with --ctx, or see `edgechat models plan`."
    if is_exact:
        hint = (
            "Scripts get exactly what `edgechat models use` pinned. Close other programs, pin a smaller model or "
            "context, or allow a smaller plan with --allow-step-down."
        )
    name = f"{smallest.model}:{smallest.quant.lower()}"
    if refusal is not None:
        return DoesNotFitError(f"{name} needs {describe_refusal(refusal)}. No smaller plan is left.", hint=hint)
    if died:
        return DoesNotFitError(f"Every plan for {name} ran out of memory since the machine started.", hint=hint)
    if is_hidden:
        return DoesNotFitError(
            f"{name} needs {megabytes(smallest.memory.total)} at least; an engine ran out of memory here at "
            f"{megabytes(smallest.available)}, although more seemed to be free, and {megabytes(smallest.reserve)} of "
            "them stay reserved.",
            hint=f"Raise the memory limit of this container or service. {hint}",
        )
    return DoesNotFitError(
        f"{name} needs {megabytes(smallest.memory.total)} at least; {megabytes(smallest.available)} are free and "
        f"{megabytes(smallest.reserve)} of them stay reserved.",
        hint=hint,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files that a wish allows, and the context that goes with it."""

    models: tuple[InstalledModel, ...]
    n_ctx: int | None
    is_default: bool
    """True when no model was named, so that any of them will do."""
    is_pinned: bool = False
    """True when ``models use`` named it."""


def find_models(wish: Wish, *, paths: Paths, config: Config) -> Wanted:
    """The files a wish means: one, every quantization of a name, or all that is installed.

    The order: the wish, the configuration, ``models use``, then whatever is installed.

    Raises:
        ModelNotFoundError: it is not there.
        NoModelError: nothing is installed.
    """
    n_ctx = wish.n_ctx or config.n_ctx
    named = wish.model or config.model
    if named and is_path(named):
        return Wanted((_from_file(Path(named)),), n_ctx, is_default=False)
    if named:
        found = find(paths, named)
        tag = recognise_tag(named)
        leaves_open = not tag[1] if tag else ":" not in named  # the quantization: the plan's to choose
        alike = [each for each in installed(paths) if leaves_open and each.name == found.name]
        return Wanted(tuple(alike) or (found,), n_ctx, is_default=False)
    if pin := read_pin(paths):
        return Wanted((find(paths, pin.model, pin.quant),), n_ctx or pin.n_ctx, is_default=False, is_pinned=True)
    everything = tuple(installed(paths))
    if not everything:
        raise NoModelError(
            "No model is installed.",
            hint="Fetch one with `edgechat models pull`, or add a file with `edgechat models add FILE.gguf`.",
        )
    return Wanted(everything, n_ctx, is_default=True)


def _from_file(path: Path) -> InstalledModel:
    try:
        path = path.expanduser().absolute()
        file = path.stat() if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, an unknown ~user, a NUL
        file = None
    if file is None:
        raise ModelNotFoundError(
            f"There is no file {path}.",
            hint="Name a GGUF file that exists; `edgechat models list` shows what is installed.",
        )
    return InstalledModel(
        name=path.stem.lower(),
        quant=_quant_in(path, (file.st_ino, file.st_mtime_ns, file.st_size)),
        path=path,
        file_bytes=file.st_size,
        sha256=None,
        version="",
        source=f"file:{path}",
        mmproj=_projector_beside(path),
    )


@lru_cache(maxsize=8)
def _quant_in(path: Path, _version: tuple[int, int, int]) -> str:
    """A file's quantization, cached by inode, time and size: every request that names the file needs it.

    Reading a header with 150,000 tokens takes 20 ms, during which other answers wait.
    """
    return gguf.read_header(path).quant


def _projector_beside(path: Path) -> Path | None:
    """The projector in a model's directory, where there is exactly one: models are published like that."""
    try:
        found = [each for each in path.parent.glob("*mmproj*.gguf") if each != path]
    except OSError:
        return None
    return found[0] if len(found) == 1 else None


def describe(plan: Plan) -> str:
    """A plan in a few words, for notes."""
    return f"{plan.label} n_ctx {plan.settings.n_ctx} KV {plan.settings.kv_type}"
