"""The entry point refuses what edgechat cannot run on, before it imports anything that fails there."""

import pytest

from edgechat.__main__ import refuse_windows


@pytest.mark.parametrize("platform", ["win32", "cygwin", "msys"])
def test_windows_is_refused_with_the_way_that_works(platform: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        refuse_windows(platform)
    assert left.value.code == 2
    assert "wsl --install" in capsys.readouterr().err


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_linux_and_macos_go_on(platform: str) -> None:
    refuse_windows(platform)
