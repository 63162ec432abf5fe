"""How commands take the name of a model: ``-m MODEL``, and names of installed models as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

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
    help="A model's name, NAME:QUANT, or the path of a GGUF file.",
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
