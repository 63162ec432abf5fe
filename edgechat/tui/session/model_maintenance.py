"""What is done with models beyond fetching them: back to the version before, what a removal touches, sticks.

Everything here may take seconds: call it in a worker thread, but for :func:`references`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import TransferError
from edgechat.models.bundle import trust
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.download.update import rollback
from edgechat.models.store.installed import version_history
from edgechat.models.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgechat.chat.conversation import Conversation
    from edgechat.config import Config
    from edgechat.models.bundle.trust import UntrustedError
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths
    from edgechat.tui.session.model_manager import Book, Telling


def versions(paths: Paths, book: Book) -> list[str]:
    """The versions of a model that are kept, the one in use first; empty for one that is not in the store."""
    return version_history(Store(paths).directory(book.plan.model, book.plan.quant))


def roll_back(paths: Paths, book: Book) -> tuple[str, str]:
    """Use the version before; the versions left and entered. Once more leads forward.

    Raises:
        EdgechatError: there is no version before, or it is damaged.
    """
    return rollback(Store(paths), book.plan.model, book.plan.quant)


def references(book: Book, config: Config, in_use: str | None, conversations: Sequence[Conversation]) -> list[str]:
    """What would miss a model that is removed, in sentences; empty when nothing would."""
    label = book.label.lower()
    names = {label, book.plan.model.lower()}
    found = []
    if book.is_pinned:
        found.append("It is pinned: the plan chooses again afterwards.")
    if config.model and config.model.lower() in names:
        found.append("config.toml names it: questions fail until that line is changed.")
    if in_use and in_use.lower() in names:
        found.append("This chat asks it: choose another before the next question.")
    answered = sum((each.model or "").lower() in names for each in conversations)
    if answered:
        talks = "One conversation was" if answered == 1 else f"{answered} conversations were"
        found.append(f"{talks} answered by it last; what was said stays, and another model goes on.")
    return found


def take_bundle(paths: Paths, bundle: Path, progress: Telling) -> InstalledModel:
    """Install what a signed bundle holds; the last of its models.

    Raises:
        UntrustedError: nobody here trusts whoever signed it yet.
        EdgechatError: it is no bundle, damaged, or the disk refuses.
    """
    paths.require_models()
    _, models = import_bundle(Store(paths), bundle, progress=progress)
    if not models:
        raise TransferError(f"The bundle in {bundle} holds no model.")
    return models[-1]


def trust_publisher(paths: Paths, unknown: UntrustedError) -> str:
    """Trust whoever signed a bundle, from now on; their fingerprint."""
    return trust.trust_publisher(paths, unknown.root)
