"""``edgechat models use``: pin the model, and optionally the context size, for all commands."""

from __future__ import annotations

import click

from edgechat.cli.completion import complete_installed
from edgechat.cli.output.terminal import say
from edgechat.config import LEAST_N_CTX
from edgechat.errors import UsageError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.planning.context_length import DEFAULT_N_CTX
from edgechat.models.store.installed import find
from edgechat.models.store.pin import Pin, write_pin
from edgechat.paths import Paths

_AUTO = "auto"


@click.command()
@click.argument("model", shell_complete=complete_installed)
@click.option(
    "--ctx", "n_ctx", type=click.IntRange(min=LEAST_N_CTX), metavar="N", help="Also fix the context size, in tokens."
)
def use(model: str, n_ctx: int | None) -> None:
    """Choose the MODEL that answers when none is named.

    `edgechat models use auto` goes back to the plan's choice.
    """
    paths = Paths.from_env()
    if model.lower() == _AUTO:
        write_pin(paths, None)
        say("The plan chooses among the installed models.")
        return
    ref = parse_reference(model)
    if ref.kind == "path":
        raise UsageError(f"{model} is a file.", hint=f"Add it first: edgechat models add {model}")
    if ref.kind == "hub":
        raise UsageError(f"{model} is a repository.", hint=f"Fetch it first: edgechat models pull {model}")
    chosen = find(paths, ref.name, ref.quant or None)
    write_pin(paths, Pin(chosen.name, chosen.quant, n_ctx))
    say(f"Using {chosen.label}{f' with a context of {n_ctx}' if n_ctx else ''} from now on.")
    if n_ctx is None:
        say(
            f"Scripts (`run`, `serve`, Python) get a context of {DEFAULT_N_CTX:,} tokens with it, always the same; "
            f"people get what fits. Fix another: edgechat models use {chosen.label} --ctx N"
        )
