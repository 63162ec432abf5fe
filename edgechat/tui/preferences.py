"""The user's theme and key bindings, in ``tui.json`` beside ``config.toml``.

For example ``{"theme": "edgechat-light", "keys": {"chat.new": "ctrl+k"}}``, with the ``id`` of each binding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import make_directory, reporting, state_error, write_json
from edgechat.tui.themes import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.paths import Paths

FILE = "tui.json"


@dataclass(frozen=True, slots=True)
class Preferences:
    """Theme and key bindings."""

    theme: str = DEFAULT
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key, or several separated by commas, by the id of the binding."""


def read(paths: Paths) -> Preferences:
    """Read the preferences; the defaults without a file.

    Raises:
        StateError: the file cannot be read or is damaged.
    """
    path = paths.config / FILE
    try:
        value = json.loads(path.read_bytes())
        keys = {str(name): str(key) for name, key in value.get("keys", {}).items()}
        return Preferences(str(value.get("theme", DEFAULT)), keys)
    except FileNotFoundError:
        return Preferences()
    except OSError as error:
        raise state_error("read", path, error) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is damaged: {error}.", hint="Mend it or remove it.") from error


def write(paths: Paths, preferences: Preferences) -> None:
    """Save the preferences.

    Raises:
        StateError: the file cannot be written.
    """
    path = paths.config / FILE
    with reporting("write", path):
        make_directory(path.parent)
        write_json(path, {"theme": preferences.theme, "keys": dict(preferences.keys)})
