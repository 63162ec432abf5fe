"""Which file an engine loads and how: the wish of a client, the pin, the machine and its free memory, settled here.

Runs in the engine process at its start (clients stay light). Reads the file's header with our own reader before
llama.cpp ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import is_path
from edgechat.engine.selection.gpu_probe import Grant, granted, told
from edgechat.engine.state.oom_history import SteppedDown
from edgechat.errors import DoesNotFitError, ModelNotFoundError, NoModelError
from edgechat.models.catalog.names import recognise
from edgechat.models.gguf import header as gguf
from edgechat.models.gguf.checks import require_loadable
from edgechat.models.gguf.pooling import pooling_of
from edgechat.models.planning.calibration import read_calibration
from edgechat.models.planning.fit import FitWish
from edgechat.models.planning.installed_choice import pick
from edgechat.models.planning.step_down import DEFAULT_N_CTX
from edgechat.models.store.installed import STARTER_NAME, InstalledModel, find, installed, read_pin

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.protocol.request import Wish
    from edgechat.engine.state.pressure_history import Tightness
    from edgechat.models.gguf.pooling import Pooling
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
    """True when nobody named a model, and this one was the best that fits."""
    mmproj: Path | None = None
    """The projector that lets the model see."""
    pooling: Pooling | None = None
    """How it makes a text's vector; None for a model that writes text."""
    is_whole: bool = True
    """Nothing that changes answers gave way to memory: what an exact wish asks for."""
    stepped_down_from: str | None = None
    """What would have been loaded with more memory; None where this is it."""
    stepped_down_why: str = ""
    """What happened to that one, to begin a sentence with: it died of memory, was refused by the GPU, or memory was
    tight lately."""

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
    stepped_down: SteppedDown,
    tight: Tightness | None = None,
    ask: Callable[[Plan], Grant] | None = None,
) -> Choice:
    """Settle on one file and plan.

    Args:
        wish: what the client asked for.
        paths: where models and the pin are.
        config: settings that stand in for what the wish leaves open.
        board: the machine, with the memory that is free now.
        offload: whether this llama.cpp was built to use a GPU.
        stepped_down: what died of memory since boot.
        tight: memory was short lately: a context that nobody asked for is not longer than this says.
        ask: asks a GPU that shares the memory for what a plan wants of it; None takes its figures at their word.

    Raises:
        ModelNotFoundError: the wished model is not there.
        NoModelError: nothing is installed at all.
        DoesNotFitError: no plan for it fits this board.
        InvalidModelFileError: the file is damaged or not a GGUF.
    """
    wanted = find_models(wish, paths=paths, config=config)
    is_exact = wish.exact and wanted.is_pinned
    fit_wish = FitWish(n_ctx=wanted.n_ctx, threads=config.threads, offload=offload, exact=is_exact)
    measured = read_calibration(paths, board)
    models = list(wanted.models)
    lowered = stepped_down.on(board)
    refusal: Grant | None = None
    alive = 0  # bytes of the largest plan that has not died
    while True:
        model, header, ladder = pick(lowered, models, fit_wish, measured)
        fitting = [plan for plan in ladder if plan.fits]
        left = [plan for plan in fitting if stepped_down.allows(plan.label, plan.memory.host)]
        alive = max(alive, left[0].memory.host if left else 0)
        if left and ask is not None:
            answer = granted(left, board, ask)
            left, refusal = list(answer.plans), answer.refusal or refusal
        if left:
            break
        # Every plan of this file died of memory or was refused, or none fits: another quantization, then another model.
        models.remove(model)
        if not models:
            raise _too_large(
                ladder[-1], died=bool(fitting), is_hidden=lowered is not board, is_exact=is_exact, refusal=refusal
            )
    require_loadable(header)
    if tight is not None and wanted.n_ctx is None and not is_exact:
        left = [each for each in left if each.settings.n_ctx <= tight.n_ctx] or left[-1:]
    plan = left[0]
    full = plan
    if stepped_down != SteppedDown() or tight is not None or refusal is not None:
        full = next(filter(_fits, pick(board, wanted.models, fit_wish, measured).ladder), plan)
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
        is_default=wanted.is_default,
        is_whole=_is_whole(plan, ladder[0], wanted.n_ctx),
        mmproj=model.mmproj,
        pooling=pooling_of(header),
        wished_n_ctx=max(wanted.n_ctx or 0, plan.settings.n_ctx),
        stepped_down_from=describe(full) if has_stepped_down else None,
        stepped_down_why=_why_less(tight, refusal, has_died=alive < full.memory.host) if has_stepped_down else "",
    )


def _why_less(tight: Tightness | None, refusal: Grant | None, *, has_died: bool) -> str:
    """What keeps the best plan from being loaded: the cause that came first, since the others only met what it left."""
    if has_died:
        return "Memory ran out earlier"
    if refusal is not None:
        return "The GPU gave less memory than was wanted of it"
    return tight.words if tight is not None else ""


def _is_whole(plan: Plan, largest: Plan, n_ctx: int | None) -> bool:
    """Whether a plan has the KV type of the largest one, and the context that was asked for or is the default."""
    enough = largest.settings.n_ctx if n_ctx else min(DEFAULT_N_CTX, largest.settings.n_ctx)
    return plan.settings.kv_type == largest.settings.kv_type and plan.settings.n_ctx >= enough


def _fits(plan: Plan) -> bool:
    return plan.fits


def _too_large(
    smallest: Plan, *, died: bool, is_hidden: bool, is_exact: bool, refusal: Grant | None
) -> DoesNotFitError:
    hint = "Close other programs, ask for a smaller context with --ctx, or see `edgechat models plan`."
    if is_exact:
        hint = (
            "Scripts get what `edgechat models use` fixed, or nothing. Close other programs, fix a smaller model or "
            "context, or let it give way with --allow-step-down."
        )
    name = f"{smallest.model}:{smallest.quant.lower()}"
    if refusal is not None:
        return DoesNotFitError(f"{name} wanted {told(refusal)}. No smaller plan is left.", hint=hint)
    if died:
        return DoesNotFitError(f"Every plan for {name} ran out of memory since the machine started.", hint=hint)
    if is_hidden:
        return DoesNotFitError(
            f"{name} needs {_mb(smallest.memory.total)} at least; an engine ran out of memory here at "
            f"{_mb(smallest.available)}, although more seemed to be free, and {_mb(smallest.reserve)} of them stay "
            "reserved.",
            hint=f"Raise the memory limit of this container or service. {hint}",
        )
    return DoesNotFitError(
        f"{name} needs {_mb(smallest.memory.total)} at least; {_mb(smallest.available)} are free and "
        f"{_mb(smallest.reserve)} of them stay reserved.",
        hint=hint,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files that a wish allows, and the context that goes with it."""

    models: tuple[InstalledModel, ...]
    n_ctx: int | None
    is_default: bool
    """True when nobody named a model, so that any of them will do."""
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
        tag = recognise(named)
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
    """A file's quantization, read once for each version of it: every request that names the file asks for it again.

    A header with 150,000 tokens takes 20 ms, in which the engine's other answers stand still.
    """
    return gguf.read_header(path).quant


def _projector_beside(path: Path) -> Path | None:
    """The projector in a model's own directory, where there is just one: that is how they are published."""
    try:
        found = [each for each in path.parent.glob("*mmproj*.gguf") if each != path]
    except OSError:
        return None
    return found[0] if len(found) == 1 else None


def describe(plan: Plan) -> str:
    """A plan in a few words, for notes."""
    return f"{plan.label} n_ctx {plan.settings.n_ctx} KV {plan.settings.kv_type}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
