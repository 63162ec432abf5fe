"""``edgechat models``: the group. Each of its commands is in the module of the same name."""

from __future__ import annotations

import click

from edgechat.cli.lazy_group import LazyGroup

_COMMANDS = {
    "add": ("edgechat.cli.models.add:add", "Add GGUF files that are already on this machine."),
    "export": ("edgechat.cli.models.export:export", "Write models to a directory, for example on a USB stick."),
    "import": ("edgechat.cli.models.import_:import_", "Install the models of an exported directory."),
    "keys": ("edgechat.cli.models.keys:keys", "Manage the keys that sign exports, and the trusted publishers."),
    "list": ("edgechat.cli.models.list:list_", "Show the installed models and their size on disk."),
    "plan": ("edgechat.cli.models.plan:plan", "Show which model fits this board, how fast it is, and why."),
    "pull": ("edgechat.cli.models.pull:pull", "Download a model from the hub and verify it."),
    "rm": ("edgechat.cli.models.rm:rm", "Remove a model, or one quantization of it."),
    "rollback": ("edgechat.cli.models.rollback:rollback", "Go back to the previous version of a model."),
    "update": ("edgechat.cli.models.update:update", "Download newer versions; each is tested before it is used."),
    "use": ("edgechat.cli.models.use:use", "Choose the model that answers when none is named."),
    "verify": ("edgechat.cli.models.verify:verify", "Check the hashes of the installed files."),
}
"""Name -> (``module:attribute``, the line in ``--help``)."""


@click.group(cls=LazyGroup, commands_by_name=_COMMANDS)
def models() -> None:
    """List, download, add, choose and remove models."""
