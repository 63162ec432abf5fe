"""``edgechat models import``: install the models of a signed bundle, after its publisher was confirmed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgechat.cli.models.next_answer import announce
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.errors import InvalidInputError, TransferError
from edgechat.models.store.installed import installed
from edgechat.models.store.store import Store
from edgechat.paths import Paths


@click.command("import")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--trust", "fingerprint", default="", help="Trust the publisher with this fingerprint from now on.")
@click.option("--check", "only_check", is_flag=True, help="Verify every byte, and install nothing.")
def import_(*, directory: Path, fingerprint: str, only_check: bool) -> None:
    """Install the models of the bundle in DIRECTORY. After an interruption, run it again to continue."""
    from edgechat.models.bundle.import_bundle import check, import_bundle  # noqa: PLC0415 - 0.1 s for TUF

    paths = Paths.from_env()
    paths.require_models()
    if not directory.is_dir():
        raise InvalidInputError(
            f"There is no directory {directory}.", hint="Name one that `edgechat models export` wrote; is it mounted?"
        )
    confirm_publisher(paths, directory, fingerprint)
    if only_check:
        with ProgressBars() as bars:
            signer, content = check(Store(paths), directory, progress=bars)
        labels = [model.label for model in content.models]
        app = [f"edgechat {content.app.version} for {content.app.target}"] if content.app is not None else []
        say(f"Nothing was changed since {signer} signed it: {', '.join([*labels, *app]) or 'an empty bundle'}.")
        return
    before = {(model.label, model.version) for model in installed(paths)}
    with ProgressBars() as bars:
        signer, models = import_bundle(Store(paths), directory, progress=bars)
    new = [model for model in models if (model.label, model.version) not in before]
    here = [model.label for model in models if (model.label, model.version) in before]
    if new:
        say(f"Installed {', '.join(model.label for model in new)}, signed by {signer}.")
    if here:
        say(f"Already installed: {', '.join(here)}, signed by {signer}.")
    if not models:
        say(f"Installed no model, because the bundle is empty, signed by {signer}.")
    announce(paths, new)


def confirm_publisher(paths: Paths, directory: Path, fingerprint: str) -> None:
    """Trust the publisher of a bundle when the user gave its fingerprint, or confirms it on a terminal.

    Raises:
        TransferError: the fingerprint differs.
        UntrustedError: the publisher is unknown, and there is no terminal to ask on.
    """
    from edgechat.models.bundle.import_bundle import inspect  # noqa: PLC0415
    from edgechat.models.bundle.trust import UntrustedError, trust_publisher  # noqa: PLC0415

    try:
        inspect(Store(paths), directory)
    except UntrustedError as unknown:
        if fingerprint and fingerprint != unknown.fingerprint:
            raise TransferError(
                f"The bundle is signed by {unknown.fingerprint}, not by {fingerprint}.", hint="Do not use this stick."
            ) from unknown
        if not fingerprint:
            if not sys.stdin.isatty():
                raise
            say(f"The bundle is signed by {unknown.fingerprint}, which is not trusted here yet.")
            click.confirm("Does the exporting machine show the same?", abort=True, err=True)
        trust_publisher(paths, unknown.root)
