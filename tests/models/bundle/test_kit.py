"""edgechat on the stick: signed with the models, refused when a byte changed, side by side on the board."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgechat.errors import InvalidInputError, TransferError
from edgechat.models.bundle import installer
from edgechat.models.bundle.export import export
from edgechat.models.bundle.import_bundle import check, import_bundle
from edgechat.models.bundle.installer import (
    Home,
    InstallError,
    check_machine,
    check_space,
    check_stick,
    read_contents,
    roll_back,
)
from edgechat.models.bundle.kit import Kit, find_folder, read_kit
from edgechat.models.bundle.signing import publisher
from edgechat.models.bundle.trust import UntrustedError, trust_publisher
from edgechat.models.store.add import KnownModel, add
from edgechat.models.store.install import ModelFacts
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.version import __version__
from tests.models.store_kit import random_gguf

NAMES = (
    f"edgechat-{__version__}-py3-none-any.whl",
    "llama_cpp_python-0.3.36-py3-none-manylinux_2_34_aarch64.whl",
    "numpy-2.2.6-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    "pip-26.3-py3-none-any.whl",
)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels/aarch64"
    folder.mkdir(parents=True)
    for name in NAMES:
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("x.py", name)
    return folder


@pytest.fixture
def stick(tmp_path: Path, wheels: Path) -> Path:
    sender = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})
    file = random_gguf(tmp_path / "Tiny-Q4_K_M.gguf", 50_000)
    model = add(Store(sender), file, identify=lambda _: KnownModel("tiny", "Q4_K_M", ModelFacts(("en",))))
    export([model], tmp_path / "stick", publisher(sender), kit=read_kit(wheels, "aarch64"))
    return tmp_path / "stick"


def trusting(store: Store, stick: Path) -> None:
    with pytest.raises(UntrustedError) as unknown:
        check(store, stick)
    trust_publisher(store.paths, unknown.value.root)


def test_everything_of_it_is_signed_and_the_models_arrive(stick: Path, store: Store) -> None:
    check_stick(stick)
    trusting(store, stick)
    _, contents = check(store, stick)
    assert contents.app is not None
    assert (contents.app.name, contents.app.target) == (f"{__version__}-1", "aarch64")
    assert sorted(contents.app.wheels) == sorted(NAMES)
    assert [model.name for model in import_bundle(store, stick)[1]] == ["tiny"]
    assert read_contents(stick)["app"]["version"] == __version__


def test_a_flipped_byte_in_any_file_is_refused(stick: Path, store: Store) -> None:
    trusting(store, stick)
    files = [path for path in sorted(stick.rglob("*")) if path.is_file()]
    assert len(files) == len(NAMES) + 2 + 4 + 3  # bundle.json and the model, the metadata, the installer and its sums
    for file in files:
        whole = file.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(InstallError, match="refused") as refused:
                check_stick(stick)
            assert refused.value.status == 7
            if file.name != "SHA256SUMS":
                with pytest.raises(TransferError):
                    check(store, stick)
        file.write_bytes(whole)
    check_stick(stick)
    check(store, stick)


def test_a_file_too_many_or_too_few_is_refused(stick: Path) -> None:
    (stick / "targets/._hidden").write_text("of a desktop")
    check_stick(stick)
    (stick / "targets/extra.whl").write_text("")
    with pytest.raises(InstallError, match=r"extra\.whl"):
        check_stick(stick)
    (stick / "targets/extra.whl").unlink()
    (stick / "metadata/timestamp.json").unlink()
    with pytest.raises(InstallError, match=r"timestamp\.json"):
        check_stick(stick)


@pytest.mark.process
def test_the_installer_runs_alone_and_a_damaged_one_is_refused(stick: Path, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(stick / "install.sh"), *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert "--rollback" in start("--help").stdout
    assert "no version to go back to" in start("--rollback").stderr
    program = (stick / "install.py").read_text()
    (stick / "install.py").write_text(program.replace("if found != listed:", "if found == listed:"))
    done = start()
    assert (done.returncode, "install.py was changed" in done.stderr) == (7, True)
    (stick / "install.py").write_text(program)
    (stick / "install.sh").write_text((stick / "install.sh").read_text().replace("Python 3.10", "Python 3.11"))
    done = start()
    assert (done.returncode, "install.sh" in done.stderr) == (7, True)
    assert not (tmp_path / "home/.local/share").exists()


def test_a_bundle_without_edgechat_takes_the_installer_away(stick: Path, tmp_path: Path, store: Store) -> None:
    export([], stick, publisher(Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})))
    assert sorted(path.name for path in stick.iterdir()) == ["metadata", "targets"]
    trusting(store, stick)
    assert check(store, stick)[1].app is None


@pytest.mark.parametrize(
    ("remove", "put", "message"),
    [
        (NAMES[1], None, "no wheel of llama_cpp_python"),
        (None, "numpy-2.2.6-cp311-cp311-manylinux_2_17_x86_64.whl", "not for aarch64"),
        (None, "numpy.whl", "not the name of a wheel"),
        (NAMES[0], "edgechat-0.0.1-py3-none-any.whl", r"edgechat 0\.0\.1"),
        (None, "pip-25.0-py3-none-any.whl", "2 wheels of pip"),
    ],
)
def test_wheels_that_are_no_kit_are_named(wheels: Path, remove: str | None, put: str | None, message: str) -> None:
    if remove:
        (wheels / remove).unlink()
    if put:
        (wheels / put).touch()
    with pytest.raises(InvalidInputError, match=message) as refused:
        read_kit(wheels, "aarch64")
    assert "scripts/build-wheel --kit --target aarch64" in refused.value.hint


def test_the_wheels_are_where_the_environment_says_or_in_the_checkout(wheels: Path, tmp_path: Path) -> None:
    assert find_folder("aarch64", str(wheels.parent), None) == wheels
    assert find_folder("aarch64", str(wheels), None) == wheels
    assert find_folder("aarch64", "", tmp_path) == wheels
    with pytest.raises(InvalidInputError):
        find_folder("aarch64", "", None)
    assert read_kit(wheels, "aarch64") == Kit("aarch64", __version__, tuple(wheels / name for name in NAMES))


def test_a_kit_for_another_machine_says_what_would_do(stick: Path) -> None:
    app = read_contents(stick)["app"]
    check_machine(app, "aarch64", "2.36", (3, 11))
    with pytest.raises(InstallError, match="--target x86_64"):
        check_machine(app, "x86_64", "2.36", (3, 11))
    with pytest.raises(InstallError, match=r"Python 3\.13 \(it has cp311\)"):
        check_machine(app, "aarch64", "2.36", (3, 13))
    with pytest.raises(InstallError, match="glibc"):
        check_machine(app, "aarch64", "", (3, 11))


def test_a_disk_that_is_too_small_is_found_before_it_is_filled(tmp_path: Path) -> None:
    check_space(tmp_path / "not yet/there", 1)
    with pytest.raises(InstallError, match="MiB free") as refused:
        check_space(tmp_path / "not yet/there", 1 << 60)
    assert refused.value.status == 8


def test_versions_lie_side_by_side_and_the_one_before_comes_back(tmp_path: Path) -> None:
    home = Home(tmp_path / "app")
    for name in ("1.0-1", "1.1-2", "1.2-3"):
        program = home.program(name)
        program.parent.mkdir(parents=True)
        program.touch()
        home.switch(name)
        home.prune()
    assert (home.version("current"), home.version("previous")) == ("1.2-3", "1.1-2")
    assert sorted(folder.name for folder in home.versions.iterdir()) == ["1.1-2", "1.2-3"]
    roll_back(home)
    assert (home.version("current"), home.version("previous")) == ("1.1-2", "1.2-3")
    (home.versions / "1.2-3" / installer._BEGUN).touch()
    with pytest.raises(InstallError, match="no version to go back to"):
        roll_back(home)


@pytest.mark.process
def test_the_installer_imports_the_standard_library_alone() -> None:
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]); print(*(n for n in sys.modules if n.startswith('edgechat')))"
    )
    command = [sys.executable, "-I", "-c", code, str(Path(installer.__file__))]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""
