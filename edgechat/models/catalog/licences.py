"""Licences that the user has accepted, kept in the configuration directory. Apache-2.0 and MIT need no acceptance.

Kept by licence, not by model: terms that were accepted once are accepted for every model under them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import LicenceNotAcceptedError, StateError
from edgechat.files import make_directory, reporting, state_error, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class LicenceAcceptance:
    """One accepted licence."""

    licence: str
    terms: str
    """Address of the licence's text."""
    model: str
    """The model it was first accepted for."""


def acceptances(paths: Paths) -> dict[str, LicenceAcceptance]:
    """The accepted licences, by name.

    Raises:
        StateError: the record is there and cannot be read.
    """
    path = _path(paths)
    try:
        value = json.loads(path.read_bytes())
        return {
            str(key): LicenceAcceptance(str(key), str(item["terms"]), str(item["model"])) for key, item in value.items()
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise state_error("read", path, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is damaged.", hint=f"Remove {path} and accept the licences again.") from error


def accept(paths: Paths, *acceptance: LicenceAcceptance) -> None:
    """Record acceptances beside the earlier ones.

    Raises:
        StateError: the record cannot be written.
    """
    path = _path(paths)
    known = acceptances(paths)
    merged = {**{item.licence: item for item in acceptance}, **known}
    with reporting("write", path):
        make_directory(path.parent)
        write_json(path, {key: {"terms": item.terms, "model": item.model} for key, item in sorted(merged.items())})


def require_accepted(paths: Paths, licence: str, terms: str, model: str) -> None:
    """Refuse a licence that has not been accepted.

    Raises:
        LicenceNotAcceptedError: the message says where to read it, the hint how to accept it.
    """
    if licence not in acceptances(paths):
        raise LicenceNotAcceptedError(
            f"{model} is under {licence}, which has not been accepted here: {terms}",
            hint=f"Read it; then: edgechat models pull {model} --accept-licence",
        )


def _path(paths: Paths) -> Path:
    return paths.config / "licences.json"
