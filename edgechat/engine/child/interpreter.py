"""How every Python child of edgechat is started, so that it imports nothing from where the user happens to be.

``python -m`` puts the current directory first on the module path: a folder ``edgechat/`` or a file ``queue.py`` on a
USB stick would then run as the user. Children therefore start in :data:`WORKING_DIRECTORY` and without that entry.
No other module of edgechat starts ``sys.executable`` (``tests/engine/child/test_interpreter.py``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKING_DIRECTORY = "/"
"""Only root can place a file here, and every machine has it."""

_PACKAGE_PARENT = Path(__file__).resolve().parents[3]
_DIRECTORIES = ("EDGECHAT_HOME", "EDGECHAT_MODELS", "EDGECHAT_STATE", "EDGECHAT_SHARED")
"""Variables that may name a directory relative to the current one."""
_INSTALLED = frozenset(("site-packages", "dist-packages"))

# Python 3.10 has no -P. With -c, the first entry of the path is the current directory, and this removes it before
# anything is imported: sys is built in.
_START_MODULE = (
    "import sys; del sys.path[0]; import runpy; del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def python_command(module: str, *arguments: str, version: tuple[int, int] = sys.version_info[:2]) -> list[str]:
    """The command line that runs a module in this interpreter without the current directory on the module path."""
    start = ["-P", "-m"] if version >= (3, 11) else ["-c", _START_MODULE]
    return [sys.executable, *start, module, *arguments]


def python_environment(inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a Python child: no entry of ``PYTHONPATH`` depends on the current directory.

    Neither does a variable that names a directory of edgechat. A checkout that is not installed is added to
    ``PYTHONPATH``, so that a child finds the package from any directory.
    """
    made = dict(os.environ if inherited is None else inherited)
    entries = [each for each in made.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(each)]  # noqa: PTH117
    if _PACKAGE_PARENT.name not in _INSTALLED and str(_PACKAGE_PARENT) not in entries:
        entries.append(str(_PACKAGE_PARENT))
    for name in _DIRECTORIES:
        if value := made.get(name):
            made[name] = os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - a user may be unknown
    made.pop("PYTHONPATH", None)
    if entries:
        made["PYTHONPATH"] = os.pathsep.join(entries)
    made["PYTHONSAFEPATH"] = "1"  # for the child's own children; Python 3.10 ignores it
    return made
