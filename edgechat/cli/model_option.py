"""``-m MODEL`` as every command takes it. An empty name, as an unset variable of a script leaves it, is no wish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def require_name(_ctx: click.Context, _parameter: click.Parameter, model: str | None) -> str | None:
    """The name as it was given; another model must not answer in place of one whose name got lost.

    Raises:
        UsageError: it is empty.
    """
    if model is not None and not model.strip():
        raise UsageError("The model's name is empty.", hint="Leave it out for the best one: edgechat models list")
    return model


model_option: Callable[[Any], Any] = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    callback=require_name,
    help="A model's name, NAME:QUANT, or the path of a GGUF file.",
)
