"""Versions and licences of edgechat and everything it needs: ``python -m edgechat.doctor.packages``.

Read from what the packages say of themselves (the core metadata in their ``.dist-info``).
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package."""

    name: str
    version: str
    licence: str


def needed(root: str = "edgechat") -> list[Package]:
    """The package and, as far as they are installed, all that it requires without extras; by name."""
    found: dict[str, Package] = {}
    waiting = [root]
    while waiting:
        name = _normal(waiting.pop())
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        found[name] = Package(name, package.version, licence(package.metadata))
        waiting += [
            re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in package.requires or [] if _is_plain(line)
        ]
    return [found[name] for name in sorted(found)]


def licence(facts: metadata.PackageMetadata) -> str:
    """The licence in a few words: its expression, its classifiers, else the first line of the licence field."""
    if expression := facts.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [
        line.split(" :: ")[-1] for line in facts.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    if named := [each for each in classifiers if each != "OSI Approved"]:
        return ", ".join(named)
    lines = str(next(iter(facts.get_all("License") or []), "")).strip().splitlines()
    return lines[0][:60] if lines else "not stated"


def _is_plain(requirement: str) -> bool:
    return "extra ==" not in requirement


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Print one line per package."""
    for package in needed():
        sys.stdout.write(f"{package.name} {package.version}  {package.licence}\n")


if __name__ == "__main__":
    main()
