"""``edgechat models export``: write installed models to a directory as a signed bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.board.probe.summary import size
from edgechat.cli.completion import complete_installed
from edgechat.cli.model_options import installed_reference
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.errors import ModelNotFoundError, UsageError
from edgechat.models.bundle.manifest import KIT_TARGETS
from edgechat.models.store.installed import InstalledModel, find
from edgechat.paths import Paths

if TYPE_CHECKING:
    from edgechat.models.bundle.kit import Kit


@click.command()
@click.argument("models", nargs=-1, required=True, shell_complete=complete_installed)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--with-app", is_flag=True, help="Add edgechat itself, with an installer that needs no network.")
@click.option("--target", type=click.Choice(KIT_TARGETS), help="The board's processor, with --with-app.")
def export(*, models: tuple[str, ...], directory: Path, with_app: bool, target: str | None) -> None:
    """Write MODELS to DIRECTORY as a signed bundle; a bundle that is there is replaced.

    With --with-app, a board without a network, a compiler or edgechat installs both: sh DIRECTORY/install.sh.
    The wheels come from `scripts/build-wheel --kit`, in the checkout's wheels/ or where EDGECHAT_WHEELS says.
    """
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
    if with_app != (target is not None):
        raise UsageError("--with-app and --target belong together.", hint="Write: --with-app --target aarch64")
    kit = None if target is None else _kit(target)
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
            kit=kit,
            progress=bars,
        )
    labels = ", ".join(model.label for model in chosen)
    say(f"Bundle {done.number} with {labels} is in {directory}, {size(done.size)}.")
    say(f"Signed by {done.fingerprint}. Compare this fingerprint at the first import on another machine.")
    if kit is not None:
        say(f"edgechat {kit.version} for {kit.target} is with it ({len(kit.wheels)} wheels). On the board:")
        say(f"  sh {directory.name}/install.sh --trust {done.fingerprint}")


def _kit(target: str) -> Kit:
    from edgechat.doctor.installation import Installation  # noqa: PLC0415 - with --with-app only
    from edgechat.models.bundle.kit import find_folder, read_kit  # noqa: PLC0415

    folder = find_folder(target, os.environ.get("EDGECHAT_WHEELS", ""), Installation.here().checkout)
    return read_kit(folder, target)


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
