"""``edgechat models update``: install newer versions; each is tested in a separate engine before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgechat.cli.completion import complete_installed
from edgechat.cli.models.smoke_test import smoke_test
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.cli.output.terminal import say
from edgechat.errors import ModelNotFoundError, StateError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.store.installed import find, installed
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.download.update import UpdateOutcome
    from edgechat.models.store.installed import InstalledModel


@click.command()
@click.argument("what", required=False, metavar="[MODEL|DIRECTORY]", shell_complete=complete_installed)
def update(what: str | None) -> None:
    """Download newer versions of MODEL, of all models, or take them from the bundle in DIRECTORY.

    Each new version is tested first. If it fails, the old version stays in use. The old version is kept for `rollback`.
    """
    paths = Paths.from_env()
    store = Store(paths)
    with ProgressBars() as bars:

        def accept(model: InstalledModel) -> None:
            bars.note(f"Testing {model.label} {model.version}")
            smoke_test(model)

        if what is not None and Path(what).is_dir():
            from edgechat.cli.models.import_ import confirm_publisher  # noqa: PLC0415
            from edgechat.models.bundle.import_bundle import import_bundle  # noqa: PLC0415

            confirm_publisher(paths, Path(what), "")
            _, models = import_bundle(store, Path(what), progress=bars, accept=accept)
            for model in models:
                say(f"{model.label}: version {model.version} is in use.")
            return
        from edgechat.models.catalog.catalog import load_catalog  # noqa: PLC0415 - 0.3 s
        from edgechat.models.download.hub import Hub  # noqa: PLC0415
        from edgechat.models.download.transfer import RetryPolicy  # noqa: PLC0415
        from edgechat.models.download.update import update as update_model  # noqa: PLC0415

        hub, catalog, outcomes = Hub(), load_catalog(), []
        for model in _models_to_update(paths, what):
            retry = RetryPolicy(progress=bars)
            outcomes.append(update_model(store, hub, model, catalog, accept=accept, progress=bars, retry=retry))
            say(_outcome_line(outcomes[-1]))
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def _models_to_update(paths: Paths, what: str | None) -> list[InstalledModel]:
    if what is None:
        models = [model for model in installed(paths) if not model.source.startswith("package:")]
        if not models:
            problem = "Only the starter is installed; pip updates it." if installed(paths) else "No model is installed."
            raise ModelNotFoundError(problem, hint="Fetch a model: edgechat models pull")
        return models
    ref = parse_reference(what)
    if ref.kind != "catalog":
        raise StateError(f"{what} is neither an installed model nor a directory.", hint="See: edgechat models list")
    return [find(paths, ref.name, ref.quant or None)]


def _outcome_line(outcome: UpdateOutcome) -> str:
    words = {
        "updated": "updated",
        "current": "is the newest",
        "kept": "stays as it is",
        "local": "cannot be updated",
    }[outcome.status]
    detail = f": {clean_line(outcome.detail)}" if outcome.detail else ""
    return f"{outcome.name}:{outcome.quant} {words}{detail}"
