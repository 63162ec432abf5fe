"""Options that name a model and say how it is loaded: ``-m``, ``--ctx``, ``--allow-step-down``, ``--keep-alive``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgechat.cli.completion import complete_installed
from edgechat.config import LEAST_N_CTX
from edgechat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.models.catalog.names import ModelRef


def require_name(_ctx: click.Context, _parameter: click.Parameter, model: str | None) -> str | None:
    """Return the given name.

    An unset variable in a script gives an empty name. It is refused, so that no other model answers instead.

    Raises:
        UsageError: the name is empty.
    """
    if model is not None and not model.strip():
        raise UsageError("The model's name is empty.", hint="Leave it out for the best one: edgechat models list")
    return model


model_option: Callable[[Any], Any] = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    callback=require_name,
    shell_complete=complete_installed,
    help="A model's name, NAME:QUANT, or the path of a GGUF file.",
)
context_option: Callable[[Any], Any] = click.option(
    "--ctx", "n_ctx", type=click.IntRange(min=LEAST_N_CTX), metavar="N", help="Context size in tokens."
)
allow_step_down_option: Callable[[Any], Any] = click.option(
    "--allow-step-down", is_flag=True, help="Allow a smaller plan than `models use` fixed when memory is short."
)
keep_alive_option: Callable[[Any], Any] = click.option(
    "--keep-alive",
    help="How long the idle engine keeps running: 30m, 2h, 0 (stop with its last client), -1 (never stop).",
)


def installed_reference(name: str) -> ModelRef:
    """Parse the name of an installed model, ``NAME`` or ``NAME:QUANT``.

    Raises:
        UsageError: it is a file or a hub repository.
    """
    from edgechat.models.catalog.names import parse_reference  # noqa: PLC0415 - `ask` imports this module

    reference = parse_reference(name)
    if reference.kind != "catalog":
        raise UsageError(f"{name} is not the name of an installed model.", hint="See: edgechat models list")
    return reference
