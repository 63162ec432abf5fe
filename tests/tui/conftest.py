"""An app on a home of its own, and a scripted engine beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.tui.app import EdgechatApp, make_app

if TYPE_CHECKING:
    from edgechat.paths import Paths


@pytest.fixture
def app(paths: Paths) -> EdgechatApp:
    """The app, not yet running."""
    return make_app(paths)
