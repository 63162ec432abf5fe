"""What docs/python.md shows works as it stands there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgechat
from edgechat import Assistant, errors
from edgechat.errors import EdgechatError
from tests.tool_template import write_hermes_model

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.engine
@pytest.mark.usefixtures("cli")
def test_every_example_runs(capsys, tmp_path, monkeypatch):
    """On the starter with a template that knows tools, which its own does not."""
    monkeypatch.setenv("EDGECHAT_MODEL", str(write_hermes_model(tmp_path)))
    namespace: dict[str, object] = {}
    try:
        for example in EXAMPLES:  # in one session, as a reader pastes them
            # Annotations of a model must be types, whatever this file imports from the future.
            exec(compile(example, "docs/python.md", "exec", dont_inherit=True), namespace)
            assert capsys.readouterr().out.strip() or "import" in example
    finally:
        if isinstance(assistant := namespace.get("assistant"), Assistant):
            assistant.close()


def test_the_table_names_every_error_and_its_exit_code():
    rows = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| (\d) \| (.*) \|$", PAGE, re.MULTILINE)}
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, EdgechatError)]
    assert classes
    for each in classes:
        if each is EdgechatError or each.__base__ is EdgechatError:
            assert int(rows[each.__name__][1]) == each.exit_code
        else:
            assert any(f"`{each.__name__}`" in row[2] and int(row[1]) == each.exit_code for row in rows.values())


@pytest.mark.process
def test_every_public_name_of_the_package_can_be_imported_and_costs_nothing_before():
    for name in edgechat.__all__:
        assert getattr(edgechat, name) is not None
    with pytest.raises(AttributeError):
        _ = edgechat.nothing
    probe = "import sys, edgechat; print(sum(name.startswith('edgechat.') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == 1, "edgechat.version alone"


def test_the_import_paths_of_the_page_before_still_work():
    assert importlib.import_module("edgechat.engine.request").Message is edgechat.Message
    events = importlib.import_module("edgechat.engine.events")
    assert (events.Done, events.Text) == (edgechat.Done, edgechat.Text)
