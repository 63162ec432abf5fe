"""``edgechat models keys``: the keys that sign exports, and the publishers whose exports are trusted."""

from __future__ import annotations

from pathlib import Path

import click

from edgechat.cli.output.terminal import say
from edgechat.errors import InvalidInputError
from edgechat.paths import Paths

# The signing modules are imported inside each command: TUF and its keys take 0.1 s.


@click.group()
def keys() -> None:
    """Manage the keys that sign exports, and the publishers that are trusted."""


@keys.command("list")
def list_keys() -> None:
    """Show the fingerprint of this machine's keys and of each trusted publisher."""
    from edgechat.models.bundle.signing import has_publisher, publisher  # noqa: PLC0415
    from edgechat.models.bundle.trust import trusted_publishers  # noqa: PLC0415

    paths = Paths.from_env()
    if has_publisher(paths):
        own = publisher(paths)
        click.echo(f"own      {own.fingerprint}  exports {own.exports}, key pair {len(own.roots)}")
    else:
        say("This machine has no keys of its own yet; the first export creates them.")
    for entry in trusted_publishers(paths):
        click.echo(f"trusted  {entry.fingerprint}  last bundle {entry.version}")


@keys.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def backup(directory: Path) -> None:
    """Copy the keys to the new DIRECTORY. Anyone with these files can sign exports in your name."""
    from edgechat.models.bundle.signing import backup as copy_keys  # noqa: PLC0415

    own = copy_keys(Paths.from_env(), directory)
    say(f"The keys of {own.fingerprint} are in {directory}. Do not let others read them.")
    say(f"To restore them, copy its files to {own.folder}.")


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def trust(file: Path) -> None:
    """Trust the publisher whose metadata/1.root.json is FILE. Get FILE from a source you trust."""
    from edgechat.models.bundle.trust import METADATA_LIMIT, trust_publisher  # noqa: PLC0415

    try:
        with file.open("rb") as stream:
            content = stream.read(METADATA_LIMIT)
    except OSError as error:
        raise InvalidInputError(
            f"Cannot read {file}: {error.strerror}.", hint="FILE is metadata/1.root.json of the publisher's export."
        ) from error
    say(f"Bundles signed by {trust_publisher(Paths.from_env(), content)} are trusted from now on.")


@keys.command()
def rotate() -> None:
    """Replace both keys. Machines that trust the old keys accept the new ones with the next bundle."""
    from edgechat.models.bundle.signing import rotate as rotate_keys  # noqa: PLC0415

    own = rotate_keys(Paths.from_env())
    say(f"{own.fingerprint} now signs with key pair {len(own.roots)}. Make a new backup.")
