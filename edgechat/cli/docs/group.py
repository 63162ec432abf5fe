"""``edgechat docs``: the group. Each of its commands is in the module of the same name."""

from __future__ import annotations

import click

from edgechat.cli.lazy_group import LazyGroup

_COMMANDS = {
    "add": ("edgechat.cli.docs.add:add", "Add manuals: files and folders, read into sections."),
    "list": ("edgechat.cli.docs.list:list_", "Show the documents, by collection."),
    "prepare": ("edgechat.cli.docs.prepare:prepare", "Read sections ahead, so that questions to them start at once."),
    "rm": ("edgechat.cli.docs.rm:rm", "Remove a document or a collection."),
    "search": ("edgechat.cli.docs.search:search", "Find sections by words, without a model."),
    "show": ("edgechat.cli.docs.show:show", "Show a document's sections, or the text of one section."),
}
"""Name -> (``module:attribute``, the line in ``--help``)."""


@click.group(cls=LazyGroup, commands_by_name=_COMMANDS)
def docs() -> None:
    """Add, list, show, search and prepare manuals, which `edgechat ask --docs` answers from."""
