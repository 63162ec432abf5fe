"""Tasks are found through entry points: the built-ins, a stranger's package, and packages that are broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from edgechat.cli.tasks import tasks as command
from edgechat.errors import InvalidInputError, UsageError
from edgechat.tasks.registry import GROUP, installed_tasks, load

PLUGIN = Path(__file__).resolve().parents[1] / "plugins" / "triage"
BUILT_IN = {"driving", "rootcause"}


def python(code: str, *path: Path) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plant(site: Path, package: str, entry: str, module: str = "", source: str = "") -> None:
    """A distribution with one entry point, made by hand."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\nSummary: Made by hand.\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")
    if module:
        (site / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    return directory


def test_the_built_ins_come_through_the_public_door_with_a_line_of_help():
    found = {task.name: task for task in installed_tasks()}
    assert set(found) >= BUILT_IN
    for name in BUILT_IN:
        assert found[name].package == "edgechat"
        assert found[name].help.endswith(".")
        assert load(name).name == name


@pytest.mark.process
def test_listing_imports_no_task_and_nothing_heavy():
    code = (
        "import sys; from edgechat.tasks.registry import installed_tasks; installed_tasks();"
        "print([name for name in sys.modules if name.startswith(('edgechat.tasks.', 'pydantic', 'jsonschema'))])"
    )
    assert python(code).strip() == "['edgechat.tasks.registry']"


@pytest.mark.process
def test_the_rules_of_a_moment_need_neither_pydantic_nor_the_engine():
    code = (
        "import sys; from edgechat.tasks.driving.risk import assess;"
        "heavy = ('pydantic', 'numpy', 'llama_cpp', 'edgechat.engine');"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    assert python(code).strip() == "[]"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_task_shows_schemas_that_are_schemas_and_an_example_that_fits(name):
    shown: dict[str, Any] = json.loads(CliRunner().invoke(command, ["show", name]).stdout)
    for side in ("input", "output"):
        alone = CliRunner().invoke(command, ["show", name, "--schema", side])
        assert alone.exit_code == 0
        schema = json.loads(alone.stdout)
        assert schema == shown[side]
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:edgechat:task:{name}:{load(name).version}:{side}"
    Draft202012Validator(shown["input"]).validate(shown["example"])


def test_the_list_is_readable_and_its_json_complete():
    text = CliRunner().invoke(command).stdout
    assert text.splitlines()[0].startswith("driving ")
    rows = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert {row["name"] for row in rows} >= BUILT_IN
    assert set(rows[0]) == {"name", "help", "package", "package_version", "target"}


def test_an_unknown_task_is_refused_with_what_comes_nearest():
    with pytest.raises(UsageError, match=r"no task 'drivin'.*Did you mean driving"):
        load("drivin")
    with pytest.raises(UsageError, match=r"There are: .*rootcause"):
        load("zzz")


def test_a_broken_package_stays_in_the_list_and_is_named_when_it_is_used(site):
    plant(site, "bad-pkg", "bad = bad_module:Bad", "bad_module", '"""Breaks."""\nraise RuntimeError("no camera")\n')
    assert [task.help for task in installed_tasks() if task.name == "bad"] == ["Breaks."]
    with pytest.raises(InvalidInputError, match=r"bad-pkg cannot be loaded: RuntimeError: no camera.*pip uninstall"):
        load("bad")


def test_a_module_that_is_not_there_is_listed_by_its_packages_summary(site):
    plant(site, "gone-pkg", "gone = not_there.at_all:Task")
    assert [task.help for task in installed_tasks() if task.name == "gone"] == ["Made by hand."]
    with pytest.raises(InvalidInputError, match="gone-pkg cannot be loaded: ModuleNotFoundError"):
        load("gone")


def test_what_is_no_task_is_refused(site):
    plant(site, "odd-pkg", "odd = odd_module:Odd", "odd_module", "class Odd: name = 'odd'\n")
    with pytest.raises(InvalidInputError, match="not a subclass"):
        load("odd")


def test_a_name_claimed_twice_is_refused_not_chosen(site):
    plant(site, "copycat", "driving = copycat_module:Driving")
    with pytest.raises(UsageError, match="claimed by copycat and edgechat"):
        load("driving")


def test_a_task_under_a_name_that_is_not_its_own_is_refused(site):
    plant(site, "alias-pkg", "fahren = edgechat.tasks.driving.task:Driving")
    with pytest.raises(InvalidInputError, match="registers 'fahren', but its task calls itself 'driving'"):
        load("fahren")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, built and installed by pip into a directory of its own; nothing is fetched."""
    work = tmp_path_factory.mktemp("plugin")
    source, target = work / "source", work / "site"
    shutil.copytree(PLUGIN, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(target), str(source)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return target


@pytest.mark.process
def test_an_installed_package_is_listed_beside_the_built_ins(installed):
    rows = json.loads(python("from edgechat.cli.tasks import tasks; tasks(['--json'])", installed))
    (row,) = (row for row in rows if row["name"] == "triage")
    assert row["package"] == "edgechat-triage"
    assert row["package_version"] == "0.3.0"
    assert row["help"] == "Sorts a maintenance note: a rule says whether it is urgent, a model gives it a title."
    assert {row["name"] for row in rows} >= BUILT_IN
    text = python("from edgechat.cli.tasks import tasks; tasks([])", installed)
    assert "(edgechat-triage 0.3.0)" in " ".join(text.split())


def test_the_imports_that_the_documentation_names_work():
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert {"Task", "Strict", "Message", "answer_tokens"} <= set(names)


@pytest.mark.process
def test_an_installed_package_runs_like_a_built_in(installed):
    code = """
import json
from edgechat.tasks.contract import GeneratedJson
from edgechat.tasks.runner import run_task
from edgechat.tasks.registry import load
class Scripted:
    def generate(self, ask, **_):
        return GeneratedJson({"title": "Motor smoke"})
task = load("triage")
done = run_task(task, task.example, generator=Scripted())
print(json.dumps(done.to_json()))
print(task.render(done, "text"))
print(run_task(task, {"note": 3}, generator=None).status)
"""
    record, text, _, status = python(code, installed).splitlines()
    assert json.loads(record)["result"] == {"urgent": True, "title": "Motor smoke"}
    assert text == "URGENT Motor smoke"
    assert status == "invalid_input"
