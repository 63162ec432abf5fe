"""The user's theme, key bindings and system prompts, in ``tui.json`` beside ``config.toml``.

For example ``{"theme": "edgechat-light", "keys": {"chat.new": "ctrl+k"}, "presets": {"brief": "Be brief."}}``,
with the ``id`` of each binding.
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
    presets: Mapping[str, str] = field(default_factory=dict)
    """The user's own system prompts, by name."""


def read(paths: Paths) -> Preferences:
    """Read the preferences; the defaults without a file.

    Raises:
        StateError: the file cannot be read or is damaged.
    """
    path = paths.config / FILE
    try:
        value = json.loads(path.read_bytes())
        keys = {str(name): str(key) for name, key in value.get("keys", {}).items()}
        presets = {str(name): str(text) for name, text in value.get("presets", {}).items()}
        return Preferences(str(value.get("theme", DEFAULT)), keys, presets)
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
        value: dict[str, object] = {"theme": preferences.theme, "keys": dict(preferences.keys)}
        if preferences.presets:
            value["presets"] = dict(preferences.presets)
        write_json(path, value)
