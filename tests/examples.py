"""How many examples a property test tries."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def examples(count: int, **options: Any) -> settings:
    """Settings for ``count`` examples; a fifth of them with ``--unit``, as tests without settings of their own have."""
    usual = settings().max_examples
    return settings(max_examples=count * usual // 100, deadline=None, **options)
