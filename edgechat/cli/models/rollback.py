"""``edgechat models rollback``: use the previous version of a model again."""

from __future__ import annotations

import click

from edgechat.cli.completion import complete_installed
from edgechat.cli.model_options import installed_reference
from edgechat.cli.output.terminal import say
from edgechat.models.store.installed import find
from edgechat.models.store.store import Store
from edgechat.paths import Paths


@click.command()
@click.argument("model", shell_complete=complete_installed)
def rollback(model: str) -> None:
    """Go back to the previous version of MODEL. Run it again to return to the newer one."""
    from edgechat.models.download.update import rollback as roll_back  # noqa: PLC0415

    paths = Paths.from_env()
    ref = installed_reference(model)
    quant = ref.quant or find(paths, ref.name).quant
    old, new = roll_back(Store(paths), ref.name, quant)
    say(f"{ref.name}:{quant} uses version {new} again, instead of {old}.")
