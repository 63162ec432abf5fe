"""A wheel built elsewhere: where it is looked for, which one fits, and that a second machine compiles nothing."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from scripts.bootstrap.llama_wheel import Settings
from scripts.bootstrap.prebuilt_wheel import NONE, Machine, find, fits, keep
from scripts.bootstrap.supervised import SetupError

if TYPE_CHECKING:
    from pathlib import Path

PI = Machine("aarch64", (2, 36))
NAME = "llama_cpp_python-0.3.36-py3-none-manylinux_2_34_aarch64.whl"


def put(folder: Path, name: str = NAME, *members: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member in ("llama_cpp/__init__.py", *members):
            archive.writestr(member, "")
    (folder / name).chmod(0o644)
    return folder / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "home/edgechat").mkdir(parents=True)
    return tmp_path / "home/edgechat"


@pytest.mark.parametrize(
    ("name", "machine", "expected"),
    [
        (NAME, PI, True),
        (NAME, Machine("aarch64", (2, 31)), False),  # JetPack 5
        (NAME, Machine("x86_64", (2, 36)), False),
        (NAME, Machine("aarch64", (0, 0)), False),  # musl
        (NAME.replace("0.3.36", "0.3.35"), PI, False),
        (NAME.replace("manylinux_2_34", "linux"), PI, True),
        (NAME.replace("py3-none", "cp311-cp311"), PI, False),
    ],
)
def test_version_processor_and_glibc_decide(name: str, machine: Machine, expected: bool) -> None:
    assert fits(name, "0.3.36", machine) is expected


def test_it_is_found_in_the_checkout_beside_it_and_where_the_user_says(root: Path, tmp_path: Path) -> None:
    assert find(root, "0.3.36", {}, PI, vision=False) is None
    beside = put(root.parent)
    assert find(root, "0.3.36", {}, PI, vision=False) == beside
    inside = put(root / "wheels")
    assert find(root, "0.3.36", {}, PI, vision=False) == inside
    stick = put(tmp_path / "stick")
    assert find(root, "0.3.36", {"EDGECHAT_WHEELS": str(stick.parent)}, PI, vision=False) == stick
    assert find(root, "0.3.36", {"EDGECHAT_WHEELS": NONE}, PI, vision=False) is None


def test_a_named_folder_without_a_wheel_that_fits_is_an_error_that_says_what_would(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "stick", NAME.replace("aarch64", "x86_64"))
    with pytest.raises(SetupError, match=r"0\.3\.36 for aarch64 and glibc 2\.36.*there is llama_cpp.*build-wheel"):
        find(root, "0.3.36", {"EDGECHAT_WHEELS": str(tmp_path / "stick")}, PI, vision=False)


def test_a_wheel_that_anybody_may_change_is_left_alone(root: Path) -> None:
    put(root.parent).chmod(0o666)
    assert find(root, "0.3.36", {}, PI, vision=False) is None


def test_image_input_is_looked_for_when_it_is_wanted(root: Path) -> None:
    put(root.parent)
    assert find(root, "0.3.36", {}, PI, vision=True) is None
    whole = put(root / "wheels", NAME, "llama_cpp/lib/libmtmd.so")
    assert find(root, "0.3.36", {}, PI, vision=True) == whole


def test_it_stays_when_the_stick_is_gone(root: Path, tmp_path: Path) -> None:
    old = put(root / ".build/wheels/prebuilt", NAME.replace("0.3.36", "0.3.35"))
    stick = put(tmp_path / "stick")
    kept = keep(root, stick)
    stick.unlink()
    assert find(root, "0.3.36", {}, PI, vision=False) == kept
    assert not old.exists()
    assert keep(root, kept) == kept


def test_building_here_is_a_choice_that_holds_and_a_folder_is_not() -> None:
    chosen = Settings.choose({"EDGECHAT_WHEELS": NONE}, Settings())
    assert Settings.choose({}, chosen).wheels == NONE
    assert Settings.choose({"EDGECHAT_WHEELS": "/media/stick"}, chosen).wheels == ""
    assert Settings.choose({"EDGECHAT_WHEELS": ""}, chosen).wheels == ""
