"""Licences that somebody here has read and accepted. Free ones (Apache-2.0, MIT) need no entry.

Kept in the configuration directory, by licence and not by model: whoever accepted terms once has accepted them.
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
class Acceptance:
    """One accepted licence."""

    licence: str
    terms: str
    """Where they can be read."""
    model: str
    """The model it was first accepted for."""


def acceptances(paths: Paths) -> dict[str, Acceptance]:
    """What was accepted, by licence.

    Raises:
        StateError: the record is there and cannot be read.
    """
    path = _path(paths)
    try:
        value = json.loads(path.read_bytes())
        return {str(key): Acceptance(str(key), str(item["terms"]), str(item["model"])) for key, item in value.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise state_error("read", path, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is damaged.", hint=f"Remove {path} and accept the licences again.") from error


def accept(paths: Paths, *acceptance: Acceptance) -> None:
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
    """Let pass what was accepted.

    Raises:
        LicenceNotAcceptedError: it was not; the hint says where to read it and how to accept.
    """
    if licence not in acceptances(paths):
        raise LicenceNotAcceptedError(
            f"{model} comes under {licence}, which nobody has accepted here: {terms}",
            hint=f"Read it; then: edgechat models pull {model} --accept-licence",
        )


def _path(paths: Paths) -> Path:
    return paths.config / "licences.json"
