"""The licences of the packages that an installation of edgechat brings along."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PERMISSIVE = (
    "0bsd", "apache", "bsd", "cc0", "cnri", "hpnd", "isc", "mit", "mpl-2.0", "mozilla", "psf",
    "python software foundation", "unlicense", "zlib",
)  # fmt: skip
"""Parts of names of licences under which edgechat may be passed on together with the package."""

_LOOKED_UP = {
    # Its wheel lists them in LICENSES: those of PDFium's libraries (FreeType by its own, ICU, …),
    # and for musl libgcc with its runtime exception.
    ("pypdfium2", "dependency licenses"),
}
"""Parts of licences, by package, that name no licence and were read instead."""


@dataclass(frozen=True, order=True)
class Package:
    """One installed package."""

    name: str
    version: str
    licence: str

    @property
    def is_permissive(self) -> bool:
        """Whether it may be passed on with edgechat as it is."""
        terms = re.split(r" and |, ", self.licence.lower())
        terms = [each for each in terms if (self.name, each) not in _LOOKED_UP]
        return all(any(part in term for part in PERMISSIVE) and "gpl" not in term for term in terms)


def required_packages(root: str = "edgechat") -> list[Package]:
    """The packages that ``root`` requires here, directly and through others, without extras; sorted by name.

    Raises:
        PackageNotFoundError: ``root`` is not installed.
    """
    found: dict[str, Package] = {}
    pending = [(distribution(root), frozenset[str]())]
    seen: set[tuple[str, frozenset[str]]] = {(canonicalize_name(root), frozenset())}
    while pending:
        for name, extras in _requirements(*pending.pop()):
            if (name, extras) in seen:
                continue
            seen.add((name, extras))
            try:
                required = distribution(name)
            except PackageNotFoundError:
                continue  # not on this machine: an optional one that the installer left out
            found[name] = Package(name, required.version, _licence(required))
            pending.append((required, extras))
    return sorted(found.values())


def _requirements(of: Distribution, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Names and extras of what a package, with these extras, requires on this platform."""
    return [
        (canonicalize_name(each.name), frozenset(each.extras))
        for each in map(Requirement, of.requires or ())
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def _licence(of: Distribution) -> str:
    stated = of.metadata["License-Expression"] or ""
    classified = [
        each.rpartition(" :: ")[2] for each in of.metadata.get_all("Classifier") or () if "License ::" in each
    ]
    text = stated or ", ".join(classified) or (of.metadata["License"] or "").strip().partition("\n")[0]
    return text or "not stated"
