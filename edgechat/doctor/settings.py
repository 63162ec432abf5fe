"""Every setting and directory with its origin, and a finding when the configuration is wrong."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgechat import config as configuration
from edgechat.config import Config
from edgechat.doctor.finding import Finding, ok, problem
from edgechat.errors import EdgechatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting."""

    name: str
    value: Any
    origin: str
    """``default``, the path of ``config.toml``, or the name of an environment variable."""


def load(paths: Paths, env: Mapping[str, str] | None = None) -> tuple[Config, list[Finding]]:
    """Read the configuration; if it is wrong, return the defaults and a finding."""
    env = os.environ if env is None else env
    file = paths.config / configuration.FILE
    try:
        config = configuration.load(paths.config, env)
        configuration.seconds(config.keep_alive)
    except EdgechatError as error:
        message = str(error)
        variable = next((name for name in env if name.startswith("EDGECHAT_") and message.startswith(name)), None)
        command = f"unset {variable}" if variable else f"${{EDITOR:-vi}} {shlex.quote(str(file))}"
        return Config(), [problem("configuration", message, command, error.exit_code)]
    source = f"defaults, with {file}" if file.exists() else "defaults"
    return config, [ok("configuration", f"The configuration can be read: {source}.")]


def settings(config: Config) -> list[Setting]:
    """Each setting with its value and origin, in the order of ``Config``."""
    values = asdict(config)
    origins = values.pop("origins")
    return [Setting(name, value, origins.get(name, "default")) for name, value in values.items()]


def directories(paths: Paths, env: Mapping[str, str] | None = None) -> list[Setting]:
    """Each directory with the variable that set it."""
    env = os.environ if env is None else env
    xdg = {"config": "XDG_CONFIG_HOME", "state": "XDG_STATE_HOME", "data": "XDG_DATA_HOME", "cache": "XDG_CACHE_HOME"}
    found = []
    for name, path in (
        ("config", paths.config),
        ("state", paths.state),
        ("data", paths.data),
        ("cache", paths.cache),
        ("models", paths.models),
    ):
        variable = xdg[name if name != "models" else "data"]
        if name == "models" and paths.models_moved:
            origin = "EDGECHAT_MODELS"
        elif env.get("EDGECHAT_HOME"):
            origin = "EDGECHAT_HOME"
        else:
            origin = variable if env.get(variable, "").startswith("/") else "default"
        found.append(Setting(name, str(path), origin))
    return found
