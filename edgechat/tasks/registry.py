"""Finds tasks, built-in ones too, through the entry points of the group ``edgechat.tasks``.

Listing reads package metadata and the first line of each module's docstring, and imports no task. A broken plugin
therefore cannot break the list, and a slow import costs nothing until the task runs.
"""

from __future__ import annotations

import ast
import difflib
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.contract import Task

GROUP = "edgechat.tasks"


@dataclass(frozen=True, slots=True)
class InstalledTask:
    """One installed task, described without importing it."""

    name: str
    help: str
    """The first line of its module's docstring, else the summary of its package."""
    package: str
    """The distribution that contains it."""
    package_version: str
    target: str
    """``module:Class``."""


def installed_tasks() -> list[InstalledTask]:
    """Every installed task, sorted by name. Imports none of them."""
    return sorted((_describe(entry) for entry in entry_points(group=GROUP)), key=lambda task: (task.name, task.package))


def load(name: str) -> Task[Any, Any]:
    """A fresh instance of the task ``name``.

    Raises:
        UsageError: there is no such task, or two packages have a task of that name.
        InvalidInputError: the task's package cannot be imported, or its entry point does not name a task.
    """
    from edgechat.tasks.contract import Task  # noqa: PLC0415 - listing must not need it

    entry = _only(name)
    try:
        found = entry.load()
    except Exception as error:  # a plugin may raise anything while it is imported
        raise InvalidInputError(
            f"Task {name} of package {_package(entry)} cannot be loaded: {type(error).__name__}: {error}.",
            hint=f"Mend or remove that package: pip uninstall {_package(entry)}",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise InvalidInputError(
            f"{entry.value} of package {_package(entry)} is not a subclass of edgechat.tasks.contract.Task.",
            hint=f"Mend or remove that package: pip uninstall {_package(entry)}",
        )
    if found.name != name:
        raise InvalidInputError(
            f"Package {_package(entry)} registers {name!r}, but its task calls itself {found.name!r}.",
            hint="Both must be the same: results carry the task's own name.",
        )
    return found()


def _only(name: str) -> EntryPoint:
    entries = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not entries:
        names = sorted({entry.name for entry in entry_points(group=GROUP)})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
        raise UsageError(f"There is no task {name!r}.", hint=hint)
    if len(entries) > 1:
        packages = sorted(_package(entry) for entry in entries)
        raise UsageError(
            f"Task {name!r} is claimed by {' and '.join(packages)}.",
            hint=f"Uninstall one of them: pip uninstall {packages[-1]}",
        )
    return entries[0]


def _describe(entry: EntryPoint) -> InstalledTask:
    dist = entry.dist
    return InstalledTask(
        name=entry.name,
        help=_first_line(entry.module) or (dist.metadata["Summary"] or "" if dist else ""),
        package=_package(entry),
        package_version=dist.version if dist else "",
        target=entry.value,
    )


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "(unknown package)"


def _first_line(module: str) -> str:
    source = _source(module)
    if source is None:
        return ""
    try:
        docstring = ast.get_docstring(ast.parse(source.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return ""
    return (docstring or "").partition("\n")[0].strip()


def _source(module: str) -> Path | None:
    """The source file of a module. Unlike ``importlib.util.find_spec``, this imports no parent package."""
    path: Sequence[str] | None = None
    origin = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        spec = next((spec for find in finders if find and (spec := find(name, path))), None)
        if spec is None:
            return None
        path, origin = spec.submodule_search_locations, spec.origin
    return Path(origin) if origin and origin.endswith(".py") else None
