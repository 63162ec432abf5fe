"""What the person chose for the UI: the theme, and keys of their own. One small file beside ``config.toml``.

``tui.json``: ``{"theme": "edgechat-light", "keys": {"chat.new": "ctrl+k"}}``. The ids are the bindings' own.
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
    """Theme and keys."""

    theme: str = DEFAULT
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key, or several with commas, by the id of the action."""


def read(paths: Paths) -> Preferences:
    """The preferences; the defaults where there are none.

    Raises:
        StateError: the file is there and cannot be understood.
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
    """Keep them.

    Raises:
        StateError: the disk refuses.
    """
    path = paths.config / FILE
    with reporting("write", path):
        make_directory(path.parent)
        write_json(path, {"theme": preferences.theme, "keys": dict(preferences.keys)})
