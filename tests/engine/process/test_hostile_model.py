"""Hostile model files: neither template nor metadata harms the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.models.gguf.header import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Cli

pytestmark = pytest.mark.engine

SAYS = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
COUNT = (
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
)


@pytest.fixture
def with_template(starter_file: Path, tmp_path: Path) -> object:
    """Makes a copy of the starter with another chat template, padded to the length of the real one."""

    def make(template: str) -> Path:
        old = read_header(starter_file).chat_template.encode()
        new = template.encode()
        assert len(new) <= len(old)
        data = starter_file.read_bytes()
        assert data.count(old) == 1
        file = tmp_path / "hostile.gguf"
        file.write_bytes(data.replace(old, new + b" " * (len(old) - len(new))))
        return file

    return make


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (COUNT + SAYS, "takes more than 2 s"),
        ("{{ 'x' * 9999999999 }}" + SAYS, "refused"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}" + SAYS, "unsafe"),
        ("{% if %}", "cannot be used"),
        ("always the same", "leaves out what the user says"),
    ],
)
def test_a_template_that_does_harm_is_refused_before_the_model_answers(
    cli: Cli, with_template: object, template: str, fault: str
) -> None:
    done = cli("ask", "-m", str(with_template(template)), "hi")  # type: ignore[operator]
    assert done.returncode == 4, done.stderr
    assert fault in done.stderr
    assert done.stdout == ""
    assert cli("ask", "-n", "1", "hi").returncode == 0


def test_a_template_that_loops_on_one_input_only_costs_the_engine_not_the_user(cli: Cli, with_template: object) -> None:
    sleeper = "{% if 'SESAME' in messages[-1]['content'] %}" + COUNT + "{% endif %}" + SAYS
    file = str(with_template(sleeper))  # type: ignore[operator]
    assert cli("ask", "-m", file, "-n", "1", "hi").returncode == 0
    done = cli("ask", "-m", file, "-n", "1", "open SESAME")
    assert done.returncode == 6
    assert "rendering the chat template took more than" in done.stderr
    assert "It was restarted" not in done.stderr, "tried twice"
    assert cli("ask", "-m", file, "-n", "1", "hi").returncode == 0
