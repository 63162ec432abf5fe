"""``edgechat models export``: write installed models to a directory as a signed bundle."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgechat.board.probe.summary import size
from edgechat.cli.completion import complete_installed
from edgechat.cli.model_options import installed_reference
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.errors import ModelNotFoundError, UsageError
from edgechat.models.store.installed import InstalledModel, find
from edgechat.paths import Paths


@click.command()
@click.argument("models", nargs=-1, required=True, shell_complete=complete_installed)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def export(models: tuple[str, ...], directory: Path) -> None:
    """Write MODELS to DIRECTORY as a signed bundle; a bundle that is there is replaced."""
    from edgechat.models.bundle.export import export as write_bundle  # noqa: PLC0415 - 0.1 s for TUF and its keys
    from edgechat.models.bundle.signing import has_publisher, publisher  # noqa: PLC0415
    from edgechat.models.catalog import licences  # noqa: PLC0415

    paths = Paths.from_env()
    if not directory.is_dir() and (Path(models[0]).is_dir() or _is_swapped(paths, models[0], directory)):
        raise UsageError(
            f"{models[0]} is a directory, and the models come first.",
            hint=f"Write: edgechat models export {' '.join([*models[1:], str(directory)])} {models[0]}",
        )
    if directory.resolve().is_relative_to(paths.models.resolve()):
        raise UsageError(f"{directory} is where the installed models are.", hint="Name another directory, or a stick.")
    chosen = [_installed_model(paths, model) for model in models]
    accepted = licences.acceptances(paths)
    names = {model.licence for model in chosen}
    if not has_publisher(paths):
        say("Creating the keys that sign exports. Keep a copy: edgechat models keys backup DIR")
    with ProgressBars() as bars:
        done = write_bundle(
            chosen,
            directory,
            publisher(paths),
            acceptances=[item for licence, item in accepted.items() if licence in names],
            progress=bars,
        )
    labels = ", ".join(model.label for model in chosen)
    say(f"Bundle {done.number} with {labels} is in {directory}, {size(done.size)}.")
    say(f"Signed by {done.fingerprint}. Compare this fingerprint at the first import on another machine.")


def _is_swapped(paths: Paths, first: str, last: Path) -> bool:
    """Whether the first argument is the path of a directory to be made, and the last one an installed model."""
    if os.sep not in first or first.endswith(".gguf") or os.sep in str(last):
        return False
    try:
        _installed_model(paths, str(last))
    except (ModelNotFoundError, UsageError):
        return False
    return True


def _installed_model(paths: Paths, model: str) -> InstalledModel:
    ref = installed_reference(model)
    return find(paths, ref.name, ref.quant or None)
