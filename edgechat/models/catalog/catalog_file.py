"""Where the catalog's file lies, and the names in it, for those who must not pay for reading it properly.

``catalog.py`` checks the whole file with pydantic (0.3 s, and memory that an engine wants for its model); this one only
picks the names, for hints after an unknown one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgechat.errors import StateError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def catalog_file() -> Path:
    """``models.toml`` inside the package, or beside it in a source tree."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "models.toml"
    return inside if inside.is_file() else package.parent / "models.toml"


def offered() -> tuple[str, ...]:
    """The names of the catalog's models, in the file's order.

    Raises:
        StateError: the file is missing or damaged.
    """
    file = catalog_file()
    try:
        return tuple(str(entry["name"]) for entry in tomllib.loads(file.read_text(encoding="utf-8"))["models"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StateError(f"Cannot read the catalog {file}.", hint="Reinstall edgechat.") from error
