"""The tree of errors is the one that its file draws, and every exit code is the promised one."""

from __future__ import annotations

import re

import pytest

from edgechat import errors
from edgechat.errors import ContextOverflowError, EdgechatError, ExitCode

CLASSES = {
    name: each for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, EdgechatError)
}
PROMISED = {
    "OK": 0,
    "DEFECT": 1,
    "USAGE": 2,
    "NO_MODEL": 3,
    "INVALID_INPUT": 4,
    "ANSWER": 5,
    "ENGINE": 6,
    "TRANSFER": 7,
    "STATE": 8,
    "INTERRUPTED": 130,
    "TERMINATED": 143,
}


def drawn() -> dict[str, tuple[int, str | None]]:
    """Depth-first: name -> (exit code, parent), from the picture in the module's docstring."""
    tree: dict[str, tuple[int, str | None]] = {}
    path: list[tuple[str, int]] = []
    for match in re.finditer(r"^    ([│├└─ ]*)(\w+Error)(?:\s+(\d))?", errors.__doc__ or "", re.MULTILINE):
        depth, name = len(match[1]) // 4, match[2]
        path = path[:depth]
        code = int(match[3]) if match[3] else path[-1][1]
        tree[name] = (code, path[-1][0] if path else None)
        path.append((name, code))
    return tree


def test_the_picture_is_the_tree():
    tree = drawn()
    assert set(tree) == set(CLASSES)
    for name, (code, parent) in tree.items():
        assert CLASSES[name].exit_code == code, name
        assert CLASSES[name].__base__ is (CLASSES[parent] if parent else Exception), name


def test_exit_codes_are_what_scripts_rely_on():
    assert {code.name: code.value for code in ExitCode} == PROMISED


@pytest.mark.parametrize("kind", [kind for kind in CLASSES.values() if kind is not ContextOverflowError])
def test_an_error_says_what_happened_and_what_to_do(kind):
    assert str(kind("It broke.", hint="Mend it.")) == "It broke. Mend it."
    assert str(kind("It broke.")) == "It broke."


def test_an_overflow_says_both_numbers_and_the_way_out():
    error = ContextOverflowError(5000, 4096)
    assert "5000" in error.message
    assert "4096" in error.message
    assert "--ctx" in error.hint
    assert ContextOverflowError(2, 1, hint="Other.").hint == "Other."
