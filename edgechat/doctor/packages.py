"""Versions and licences of edgechat and its dependencies: ``python -m edgechat.doctor.packages``.

They are read from the packages' core metadata (``.dist-info``).
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
    """The package and its installed dependencies without extras, sorted by name."""
    found: dict[str, Package] = {}
    to_visit = [root]
    while to_visit:
        name = _normal(to_visit.pop())
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # required only on another platform or Python version
        found[name] = Package(name, package.version, licence(package.metadata))
        to_visit += [
            re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0] for line in package.requires or [] if _is_not_an_extra(line)
        ]
    return [found[name] for name in sorted(found)]


def licence(facts: metadata.PackageMetadata) -> str:
    """The licence: its SPDX expression, else its classifiers, else the first line of the licence field."""
    if expression := facts.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [
        line.split(" :: ")[-1] for line in facts.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    if named := [each for each in classifiers if each != "OSI Approved"]:
        return ", ".join(named)
    lines = str(next(iter(facts.get_all("License") or []), "")).strip().splitlines()
    return lines[0][:60] if lines else "not stated"


def _is_not_an_extra(requirement: str) -> bool:
    return "extra ==" not in requirement


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Print one line per package."""
    for package in needed():
        sys.stdout.write(f"{package.name} {package.version}  {package.licence}\n")


if __name__ == "__main__":
    main()
