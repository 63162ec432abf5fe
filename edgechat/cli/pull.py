"""``edgechat models pull`` and ``edgechat models add``: from the hub, from a file, from other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.board.summary import size
from edgechat.cli.bars import Bars
from edgechat.errors import EdgechatError, UsageError
from edgechat.models.names import parse_reference
from edgechat.models.store import Store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.add import Identity
    from edgechat.models.entry import CatalogEntry
    from edgechat.models.hub import Hub
    from edgechat.models.installed import InstalledModel
    from edgechat.models.pull import Order
    from edgechat.models.transfer import Patience

DEFAULT_QUANT = "Q4_K_M"


@click.command()
@click.argument("model")
@click.option("--accept-licence", is_flag=True, help="You have read the model's licence and accept it.")
def pull(model: str, *, accept_licence: bool) -> None:
    """Fetch MODEL from the hub: NAME[:QUANT] of the catalog, or ORG/REPO[:QUANT|:FILE].

    An interrupted download goes on where it stopped when the same command is run again.
    """
    from edgechat.models.hub import Hub  # noqa: PLC0415
    from edgechat.models.pull import pull as fetch  # noqa: PLC0415
    from edgechat.models.transfer import Patience  # noqa: PLC0415

    paths = Paths.from_env()
    paths.require_models()
    with Bars() as bars:
        patience = Patience(progress=bars)
        order = _order(paths, Hub(), model, accept_licence=accept_licence, patience=patience)
        fetched = fetch(Store(paths), Hub(), order, progress=bars, patience=patience)
    click.echo(f"{fetched.label} is installed: {fetched.path}", err=True)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--found", "adopt", is_flag=True, help="Adopt the models of Ollama, LM Studio, llama.cpp and the hub's cache."
)
@click.option("--name", default="", help="What to call it; otherwise the catalog or the file's header says.")
def add(file: Path | None, *, adopt: bool, name: str) -> None:
    """Take a GGUF FILE into the store, by hard link where the disk allows it."""
    from edgechat.models.add import add as take  # noqa: PLC0415

    if (file is None) != adopt or (adopt and name):
        raise UsageError("Give either a FILE or --found.", hint="For example: edgechat models add model.gguf")
    store = Store(Paths.from_env())
    if adopt:
        _adopt(store)
        return
    assert file is not None  # noqa: S101 - one of the two was given
    with Bars() as bars:
        added = take(store, file.expanduser(), name=name, identify=_identify, progress=bars)
    click.echo(_added(added), err=True)


def _order(paths: Paths, hub: Hub, model: str, *, accept_licence: bool, patience: Patience) -> Order:
    from edgechat.models.catalog import load_catalog  # noqa: PLC0415 - 0.3 s
    from edgechat.models.pull import order_from_catalog, order_from_hub  # noqa: PLC0415

    ref = parse_reference(model)
    if ref.kind == "path":
        raise UsageError(f"{model} is a file.", hint=f"Run: edgechat models add {model}")
    if ref.kind == "hub":
        return order_from_hub(hub, ref, patience=patience)
    catalog = load_catalog()
    entry = catalog.find(model).entry
    _check_licence(paths, entry, accept=accept_licence)
    quant = ref.quant or (DEFAULT_QUANT if DEFAULT_QUANT in entry.files else next(iter(entry.files)))
    return order_from_catalog(hub, entry, quant, patience=patience)


def _check_licence(paths: Paths, entry: CatalogEntry, *, accept: bool) -> None:
    from edgechat.models import licences  # noqa: PLC0415

    if entry.free:
        return
    terms = entry.terms or ""
    if accept:
        licences.accept(paths, licences.Acceptance(entry.licence, terms, entry.name))
    licences.require_accepted(paths, entry.licence, terms, entry.name)


def _adopt(store: Store) -> None:
    from edgechat.models.add import add as take  # noqa: PLC0415
    from edgechat.models.found import found  # noqa: PLC0415

    files = found(os.environ)
    if not files:
        click.echo("Ollama, LM Studio, llama.cpp and the hub's cache hold no model here.", err=True)
    for file in files:
        try:
            with Bars() as bars:
                source = f"{file.tool}:{file.label}"
                model = take(store, file.path, identify=_identify, source=source, copy=False, progress=bars)
        except EdgechatError as error:
            # One file that cannot be used must not keep the others away.
            click.secho(f"left out: {clean_line(f'{file.tool} {file.label}: {error}')}", fg="yellow", err=True)
        else:
            click.echo(f"{clean_line(f'{file.tool} {file.label}')}: {_added(model)}", err=True)


def _identify(sha256: str) -> Identity | None:
    """The catalog's name for these bytes."""
    from edgechat.models.add import Identity  # noqa: PLC0415
    from edgechat.models.catalog import load_catalog  # noqa: PLC0415
    from edgechat.models.pull import facts_of  # noqa: PLC0415

    for entry in load_catalog():
        for quant, file in entry.files.items():
            if file.sha256 == sha256:
                return Identity(entry.name, quant, facts_of(entry))
    return None


def _added(model: InstalledModel) -> str:
    shared = model.path.stat().st_nlink > 1
    return f"{model.label} is installed, {size(model.file_bytes)}{' shared with the original' if shared else ''}."
