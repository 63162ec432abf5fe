"""``edgechat models add``: take GGUF files from this machine into the store, one file or those of other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.board.probe.summary import size
from edgechat.cli.models.next_answer import announce
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.errors import EdgechatError, UsageError
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.store.installed import InstalledModel


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--found",
    "add_found",
    is_flag=True,
    help="Add the models found in Ollama, LM Studio, llama.cpp and the hub's cache.",
)
@click.option("--name", default="", help="The model's name; by default that of the catalog or of the file's header.")
@click.option(
    "--mmproj", type=click.Path(path_type=Path), help="The image projector that was published with the model."
)
def add(file: Path | None, *, add_found: bool, name: str, mmproj: Path | None) -> None:
    """Add a GGUF FILE to the store, as a hard link where the file system allows it."""
    from edgechat.models.store.add import add as add_to_store  # noqa: PLC0415
    from edgechat.models.store.add import identify_in_catalog  # noqa: PLC0415

    if (file is None) != add_found or (add_found and (name or mmproj)):
        raise UsageError("Give either a FILE or --found.", hint="For example: edgechat models add model.gguf")
    store = Store(Paths.from_env())
    if add_found:
        _add_found(store)
        return
    assert file is not None  # noqa: S101 - checked above
    with ProgressBars() as bars:
        projector = mmproj.expanduser() if mmproj else None
        added = add_to_store(
            store, file.expanduser(), name=name, projector=projector, identify=identify_in_catalog, progress=bars
        )
    say(_added_message(added))
    announce(store.paths, [added])


def _add_found(store: Store) -> None:
    from edgechat.models.store.add import add as add_to_store  # noqa: PLC0415
    from edgechat.models.store.add import identify_in_catalog  # noqa: PLC0415
    from edgechat.models.store.other_programs import find_model_files  # noqa: PLC0415

    files = find_model_files(os.environ)
    if not files:
        say("Ollama, LM Studio, llama.cpp and the hub's cache have no model on this machine.")
    added: list[InstalledModel] = []
    for file in files:
        try:
            with ProgressBars() as bars:
                source = f"{file.tool}:{file.label}"
                model = add_to_store(
                    store, file.path, identify=identify_in_catalog, source=source, copy=False, progress=bars
                )
        except EdgechatError as error:
            # One unusable file must not stop the others.
            say(f"left out: {clean_line(f'{file.tool} {file.label}: {error}')}", fg="yellow")
        else:
            say(f"{clean_line(f'{file.tool} {file.label}')}: {_added_message(model)}")
            added.append(model)
    announce(store.paths, added)


def _added_message(model: InstalledModel) -> str:
    shared = model.path.stat().st_nlink > 1
    return f"{model.label} is installed, {size(model.file_bytes)}{' shared with the original' if shared else ''}."
