"""Updates of installed models, and rollback: a new version is fetched beside the old one, tried, and only then used.

The caller supplies the trial: this module knows no engine.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError, ModelNotFoundError, StateError
from edgechat.models.catalog.names import ModelRef
from edgechat.models.download.pull import pull, resolve_entry, resolve_repository
from edgechat.models.store.installed import version_history
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgechat.models.catalog.catalog import Catalog
    from edgechat.models.download.hub import Hub
    from edgechat.models.download.pull import ResolvedModel
    from edgechat.models.download.transfer import RetryPolicy
    from edgechat.models.store.install import Acceptor
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.store import Store

_HUB_SOURCE = re.compile(r"hub:([^@]+)@[^/]+/(.+)")


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """The outcome for one model."""

    name: str
    quant: str
    status: str
    """``updated``, ``current``, ``kept`` (the new version was refused or could not be fetched) or ``local``."""
    detail: str = ""
    error: EdgechatError | None = None


def update(
    store: Store,
    hub: Hub,
    model: InstalledModel,
    catalog: Catalog,
    *,
    accept: Acceptor,
    progress: Progress = SILENT,
    retry: RetryPolicy | None = None,
) -> UpdateOutcome:
    """Update one model to the file in the catalog, else in its repository, unless ``accept`` refuses the new version.

    Returns errors that concern this model alone in the outcome; the old version then stays in use.
    """
    found = _HUB_SOURCE.fullmatch(model.source)
    if found is None:
        return UpdateOutcome(model.name, model.quant, "local", f"it came from {model.source}, not from the hub")
    try:
        resolved = _resolve(hub, model, catalog, ModelRef("hub", found[1], file=found[2]), retry)
        if resolved.version == model.version:
            return UpdateOutcome(model.name, model.quant, "current")
        new = pull(store, hub, resolved, progress=progress, retry=retry, accept=accept)
    except EdgechatError as error:
        return UpdateOutcome(model.name, model.quant, "kept", str(error), error)
    return UpdateOutcome(model.name, model.quant, "updated", f"{model.version} was replaced by {new.version}")


def rollback(store: Store, name: str, quant: str) -> tuple[str, str]:
    """Switch to the version before the current one; returns the versions left and entered. Twice returns to the first.

    Raises:
        ModelNotFoundError: there is no such model, or no version before.
        StateError: that version is damaged, or the pointer cannot be written.
    """
    with store.lock(name, quant) as locked:
        history = version_history(locked.directory)
        if not history:
            raise ModelNotFoundError(f"{name}:{quant} is not in the store.", hint="See: edgechat models list")
        if len(history) == 1:
            raise ModelNotFoundError(
                f"{name}:{quant} has only the version {history[0]}.", hint="A version is kept when a newer one arrives."
            )
        if locked.installed(history[1]) is None:
            raise StateError(
                f"The version {history[1]} of {name}:{quant} is damaged.", hint="Run: edgechat models verify"
            )
        locked.switch(history[1])
    return history[0], history[1]


def _resolve(
    hub: Hub, model: InstalledModel, catalog: Catalog, origin: ModelRef, retry: RetryPolicy | None
) -> ResolvedModel:
    for entry in catalog:
        if entry.name == model.name and model.quant in entry.files:
            return resolve_entry(hub, entry, model.quant, retry=retry)
    resolved = resolve_repository(hub, origin, retry=retry)
    return dataclasses.replace(resolved, name=model.name, quant=model.quant)
