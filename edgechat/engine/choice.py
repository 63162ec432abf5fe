"""Which file an engine loads and how: the wish of a client, the pin, the machine and its free memory, settled here.

Runs in the engine process at its start (clients stay light). Reads the file's header with our own reader before
llama.cpp ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.engine.request import is_path
from edgechat.errors import DoesNotFitError, ModelNotFoundError, NoModelError
from edgechat.models import fit, gguf
from edgechat.models.gguf_shape import shape_of, weight_bytes
from edgechat.models.installed import STARTER_NAME, InstalledModel, find, installed, read_pin

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.board.board import Board
    from edgechat.config import Config
    from edgechat.engine.request import Wish
    from edgechat.models.plan import Plan
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
    languages: tuple[str, ...] = ()
    sampling: dict[str, float] = field(default_factory=dict)
    is_starter: bool = False
    wished_n_ctx: int = 0
    """The context that was asked for, or the plan's own when none was."""
    stepped_down_from: str | None = None
    """What would have been loaded, had it not died of memory since the last boot."""

    @property
    def label(self) -> str:
        """``name:quant``."""
        return f"{self.name}:{self.quant.lower()}"


def choose(wish: Wish, *, paths: Paths, config: Config, board: Board, steps_down: Callable[[str], int]) -> Choice:
    """Settle on one file and plan.

    Args:
        wish: what the client asked for.
        paths: where models and the pin are.
        config: settings that stand in for what the wish leaves open.
        board: the machine, with the memory that is free now.
        steps_down: how many plans of a model's ladder died of memory since boot, by its label.

    Raises:
        ModelNotFoundError: the wished model is not there.
        NoModelError: nothing is installed at all.
        DoesNotFitError: no plan for it fits this board.
        InvalidModelFileError: the file is damaged or not a GGUF.
    """
    model, n_ctx = find_model(wish, paths=paths, config=config)
    header = gguf.read_header(model.path)
    candidate = fit.Candidate(
        name=model.name,
        quant=model.quant,
        shape=shape_of(header),
        weights=weight_bytes(header, board.cpu.features),
    )
    ladder = fit.ladder(board, candidate, fit.FitWish(n_ctx=n_ctx, threads=config.threads))
    fitting = [plan for plan in ladder if plan.fits]
    if not fitting:
        smallest = ladder[-1]
        raise DoesNotFitError(
            f"{model.label} needs {_mb(smallest.memory.total)} at least; "
            f"{_mb(smallest.available)} are free and {_mb(smallest.reserve)} of them stay reserved.",
            hint="Close other programs, ask for a smaller context with --ctx, or see `edgechat models plan`.",
        )
    step = min(steps_down(model.label.lower()), len(fitting) - 1)
    return Choice(
        name=model.name,
        quant=model.quant,
        path=model.path,
        plan=fitting[step],
        ladder=tuple(fitting[step:]),
        languages=model.languages,
        sampling=dict(model.sampling.items()),
        is_starter=model.name == STARTER_NAME,
        wished_n_ctx=max(n_ctx or 0, fitting[step].settings.n_ctx),
        stepped_down_from=_describe(fitting[0]) if step else None,
    )


def find_model(wish: Wish, *, paths: Paths, config: Config) -> tuple[InstalledModel, int | None]:
    """The file a wish means, and the context size that goes with it.

    The order: the wish, the configuration, ``models use``, then the best of what is installed.

    Raises:
        ModelNotFoundError: it is not there.
        NoModelError: nothing is installed.
    """
    n_ctx = wish.n_ctx or config.n_ctx
    named = wish.model or config.model
    if named:
        return (_from_file(Path(named)) if is_path(named) else find(paths, named)), n_ctx
    if pin := read_pin(paths):
        return find(paths, pin.model, pin.quant), n_ctx or pin.n_ctx
    everything = installed(paths)
    if not everything:
        raise NoModelError(
            "No model is installed.",
            hint="Fetch one with `edgechat models pull`, or add a file with `edgechat models add FILE.gguf`.",
        )
    # The starter is for machines that have nothing else.
    best = max(everything, key=lambda model: (model.name != STARTER_NAME, model.file_bytes))
    return best, n_ctx


def _from_file(path: Path) -> InstalledModel:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise ModelNotFoundError(
            f"There is no file {path}.",
            hint="Name a GGUF file that exists; `edgechat models list` shows what is installed.",
        )
    header = gguf.read_header(path)
    return InstalledModel(
        name=path.stem.lower(),
        quant=header.quant,
        path=path,
        file_bytes=path.stat().st_size,
        sha256=None,
        version="",
        source=f"file:{path}",
    )


def _describe(plan: Plan) -> str:
    return f"{plan.model}:{plan.quant.lower()} n_ctx {plan.settings.n_ctx} KV {plan.settings.kv_type}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
