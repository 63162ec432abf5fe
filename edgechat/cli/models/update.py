"""``edgechat models update`` and ``rollback``: a new version is tried in an engine of its own before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.cli.models.smoke_test import try_out
from edgechat.cli.output.progress_bars import Bars
from edgechat.cli.output.terminal import say
from edgechat.errors import ModelNotFoundError, StateError, UsageError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.store.installed import find, installed
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.download.update import UpdateOutcome
    from edgechat.models.store.installed import InstalledModel


@click.command()
@click.argument("what", required=False, metavar="[MODEL|DIRECTORY]")
def update(what: str | None) -> None:
    """Fetch newer versions of MODEL, of all models, or from the bundle in DIRECTORY.

    Each is tried first; the old version stays in use when the new one fails, and is kept for `rollback`.
    """
    paths = Paths.from_env()
    store = Store(paths)
    with Bars() as bars:

        def accept(model: InstalledModel) -> None:
            bars.note(f"Trying {model.label} {model.version}")
            try_out(model)

        if what is not None and Path(what).is_dir():
            from edgechat.cli.models.bundle import trust_first  # noqa: PLC0415
            from edgechat.models.bundle.import_bundle import import_bundle  # noqa: PLC0415

            trust_first(paths, Path(what), "")
            _, models = import_bundle(store, Path(what), progress=bars, accept=accept)
            for model in models:
                say(f"{model.label}: version {model.version} is in use.")
            return
        from edgechat.models.catalog.catalog import load_catalog  # noqa: PLC0415 - 0.3 s
        from edgechat.models.download.hub import Hub  # noqa: PLC0415
        from edgechat.models.download.transfer import RetryPolicy  # noqa: PLC0415
        from edgechat.models.download.update import update as bring  # noqa: PLC0415

        hub, catalog, outcomes = Hub(), load_catalog(), []
        for model in _chosen(paths, what):
            retry = RetryPolicy(progress=bars)
            outcomes.append(bring(store, hub, model, catalog, accept=accept, progress=bars, retry=retry))
            say(_line(outcomes[-1]))
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


@click.command()
@click.argument("model")
def rollback(model: str) -> None:
    """Use the version of MODEL before the current one again; once more leads forward."""
    from edgechat.models.download.update import rollback as go_back  # noqa: PLC0415

    paths = Paths.from_env()
    ref = parse_reference(model)
    if ref.kind != "catalog":
        raise UsageError(f"{model} is not the name of an installed model.", hint="See: edgechat models list")
    quant = ref.quant or find(paths, ref.name).quant
    left, entered = go_back(Store(paths), ref.name, quant)
    say(f"{ref.name}:{quant} uses version {entered} again, instead of {left}.")


def _chosen(paths: Paths, what: str | None) -> list[InstalledModel]:
    if what is None:
        models = [model for model in installed(paths) if not model.source.startswith("package:")]
        if not models:
            what_is = (
                "Only the starter is installed, which pip updates." if installed(paths) else "No model is installed."
            )
            raise ModelNotFoundError(what_is, hint="Fetch a model: edgechat models pull")
        return models
    ref = parse_reference(what)
    if ref.kind != "catalog":
        raise StateError(f"{what} is neither an installed model nor a directory.", hint="See: edgechat models list")
    return [find(paths, ref.name, ref.quant or None)]


def _line(outcome: UpdateOutcome) -> str:
    words = {
        "updated": "updated",
        "current": "is the newest",
        "kept": "stays as it is",
        "local": "cannot be updated",
    }[outcome.status]
    detail = f": {clean_line(outcome.detail)}" if outcome.detail else ""
    return f"{outcome.name}:{outcome.quant} {words}{detail}"
