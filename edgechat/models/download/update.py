"""Newer versions of what is installed: fetched beside the old one, tried, and only then used; and the way back.

What a trial is, the caller says: this module knows no engine.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError, ModelNotFoundError, StateError
from edgechat.models.catalog.names import ModelRef
from edgechat.models.download.pull import order_from_catalog, order_from_hub, pull
from edgechat.models.store.installed import version_history
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgechat.models.catalog.catalog import Catalog
    from edgechat.models.download.hub import Hub
    from edgechat.models.download.pull import Order
    from edgechat.models.download.transfer import Patience
    from edgechat.models.store.install import Acceptor
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.store import Store

_HUB_SOURCE = re.compile(r"hub:([^@]+)@[^/]+/(.+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model."""

    name: str
    quant: str
    status: str
    """``updated``, ``current``, ``kept`` (the new one was refused or could not be fetched) or ``local``."""
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
    patience: Patience | None = None,
) -> Outcome:
    """Bring one model to what the catalog (else its repository) has now, if ``accept`` finds the new version good.

    Never raises for what concerns this model alone: the old version stays in use and the outcome says why.
    """
    found = _HUB_SOURCE.fullmatch(model.source)
    if found is None:
        return Outcome(model.name, model.quant, "local", f"it came from {model.source}, not from the hub")
    try:
        order = _order(hub, model, catalog, ModelRef("hub", found[1], file=found[2]), patience)
        if order.version == model.version:
            return Outcome(model.name, model.quant, "current")
        new = pull(store, hub, order, progress=progress, patience=patience, accept=accept)
    except EdgechatError as error:
        return Outcome(model.name, model.quant, "kept", str(error), error)
    return Outcome(model.name, model.quant, "updated", f"{model.version} was replaced by {new.version}")


def rollback(store: Store, name: str, quant: str) -> tuple[str, str]:
    """Use the version before the current one again; the versions left and entered. Twice leads back.

    Raises:
        ModelNotFoundError: there is no such model, or no version before.
        StateError: that version is damaged, or the pointer cannot be written.
    """
    with store.claim(name, quant) as claim:
        history = version_history(claim.directory)
        if not history:
            raise ModelNotFoundError(f"{name}:{quant} is not in the store.", hint="See: edgechat models list")
        if len(history) == 1:
            raise ModelNotFoundError(
                f"{name}:{quant} has only the version {history[0]}.", hint="A version is kept when a newer one arrives."
            )
        if claim.installed(history[1]) is None:
            raise StateError(
                f"The version {history[1]} of {name}:{quant} is damaged.", hint="Run: edgechat models verify"
            )
        claim.switch(history[1])
    return history[0], history[1]


def _order(hub: Hub, model: InstalledModel, catalog: Catalog, origin: ModelRef, patience: Patience | None) -> Order:
    for entry in catalog:
        if entry.name == model.name and model.quant in entry.files:
            return order_from_catalog(hub, entry, model.quant, patience=patience)
    order = order_from_hub(hub, origin, patience=patience)
    return dataclasses.replace(order, name=model.name, quant=model.quant)
