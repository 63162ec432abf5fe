"""``edgechat models export``, ``import`` and ``keys``: models carried on a stick, and whose sticks are trusted."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgechat.board.probe.summary import size
from edgechat.cli.output.progress_bars import Bars
from edgechat.cli.output.terminal import say
from edgechat.errors import InvalidInputError, TransferError, UsageError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.store.installed import InstalledModel, find
from edgechat.models.store.store import Store
from edgechat.paths import Paths

_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.argument("directory", type=_DIRECTORY)
def export(models: tuple[str, ...], directory: Path) -> None:
    """Write MODELS to DIRECTORY as a signed bundle; it replaces the bundle that lies there."""
    from edgechat.models.bundle.export import export as write  # noqa: PLC0415 - 0.1 s for TUF and its keys
    from edgechat.models.bundle.signing import has_publisher, publisher  # noqa: PLC0415
    from edgechat.models.catalog import licences  # noqa: PLC0415

    paths = Paths.from_env()
    chosen = [_installed(paths, model) for model in models]
    accepted = licences.acceptances(paths)
    names = {model.licence for model in chosen}
    if not has_publisher(paths):
        say("Making the keys that sign exports; keep a copy: edgechat models keys backup DIR")
    with Bars() as bars:
        done = write(
            chosen,
            directory,
            publisher(paths),
            acceptances=[item for licence, item in accepted.items() if licence in names],
            progress=bars,
        )
    labels = ", ".join(model.label for model in chosen)
    say(f"Bundle {done.number} with {labels} is in {directory}, {size(done.size)}.")
    say(f"Signed by {done.fingerprint}: whoever imports it for the first time compares this.")


@click.command("import")
@click.argument("directory", type=_DIRECTORY)
@click.option("--trust", "fingerprint", default="", help="Trust the publisher with this fingerprint from now on.")
def import_(directory: Path, fingerprint: str) -> None:
    """Take in the bundle in DIRECTORY; run it again after an interruption and it goes on."""
    from edgechat.models.bundle.import_bundle import import_bundle  # noqa: PLC0415

    paths = Paths.from_env()
    paths.require_models()
    if not directory.is_dir():
        raise InvalidInputError(
            f"There is no directory {directory}.", hint="Name one that `edgechat models export` wrote; is it mounted?"
        )
    trust_first(paths, directory, fingerprint)
    with Bars() as bars:
        signer, models = import_bundle(Store(paths), directory, progress=bars)
    labels = ", ".join(model.label for model in models)
    say(f"Installed {labels or 'no model: the bundle holds none'}, signed by {signer}.")


@click.group()
def keys() -> None:
    """The keys that sign exports, and whose exports are trusted."""


@keys.command("list")
def list_keys() -> None:
    """Show the own fingerprint and those that are trusted."""
    from edgechat.models.bundle.signing import has_publisher, publisher  # noqa: PLC0415
    from edgechat.models.bundle.trust import trusted_publishers  # noqa: PLC0415

    paths = Paths.from_env()
    if has_publisher(paths):
        own = publisher(paths)
        click.echo(f"own      {own.fingerprint}  exports {own.exports}, key pair {len(own.roots)}")
    else:
        say("No keys of its own yet; the first export makes them.")
    for entry in trusted_publishers(paths):
        click.echo(f"trusted  {entry.fingerprint}  last bundle {entry.version}")


@keys.command()
@click.argument("directory", type=_DIRECTORY)
def backup(directory: Path) -> None:
    """Copy the keys to the new DIRECTORY; whoever has it can sign as you."""
    from edgechat.models.bundle.signing import backup as copy  # noqa: PLC0415

    own = copy(Paths.from_env(), directory)
    say(f"The keys of {own.fingerprint} are in {directory}. Keep that away from others.")
    say(f"To restore them, copy its files to {own.folder}.")


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def trust(file: Path) -> None:
    """Trust the publisher whose metadata/1.root.json is FILE, brought on a way you trust."""
    from edgechat.models.bundle.trust import METADATA_LIMIT, trust_publisher  # noqa: PLC0415

    try:
        with file.open("rb") as stream:
            content = stream.read(METADATA_LIMIT)
    except OSError as error:
        raise InvalidInputError(
            f"Cannot read {file}: {error.strerror}.", hint="It is metadata/1.root.json of the publisher's export."
        ) from error
    say(f"Bundles signed by {trust_publisher(Paths.from_env(), content)} are trusted from now on.")


@keys.command()
def rotate() -> None:
    """Replace both keys; importers that trust the old ones follow with the next bundle."""
    from edgechat.models.bundle.signing import rotate as replace  # noqa: PLC0415

    own = replace(Paths.from_env())
    say(f"{own.fingerprint} signs with key pair {len(own.roots)} now. Make a new backup.")


def trust_first(paths: Paths, directory: Path, fingerprint: str) -> None:
    """Pin the bundle's publisher when the person gives its fingerprint, or confirms it on a terminal."""
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


def _installed(paths: Paths, model: str) -> InstalledModel:
    ref = parse_reference(model)
    if ref.kind != "catalog":
        raise UsageError(f"{model} is not the name of an installed model.", hint="See: edgechat models list")
    return find(paths, ref.name, ref.quant or None)
