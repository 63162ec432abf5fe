"""An app on a home of its own, and a scripted engine beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.paths import Paths
from edgechat.tui.app import EdgechatApp, make_app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paths(home: Path) -> Paths:
    """The directories of this test's home."""
    return Paths.from_env({"EDGECHAT_HOME": str(home)})


@pytest.fixture
def app(paths: Paths) -> EdgechatApp:
    """The app, not yet running."""
    return make_app(paths)
