"""The title line: a long title gives way to the model."""

from __future__ import annotations

import pytest

from edgechat.tui.widgets.title_line import title_line


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_long_title_does_not_hide_the_model(width: int) -> None:
    shown = title_line("Ripple on the rail " * 20, "qwen2.5:q4_k_m (pinned)", " · not saved", width)
    assert len(shown) <= width
    if width >= 80:
        assert shown.endswith("… · qwen2.5:q4_k_m (pinned) · not saved")
    assert "qwen2.5" in shown
