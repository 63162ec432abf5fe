"""The starter model with a chat template that knows tools; its own does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.models.gguf.header import read_header
from edgechat.models.store.installed import starter

if TYPE_CHECKING:
    from pathlib import Path

HERMES = (
    "{% if tools %}{{'<|im_start|>system\n'+(tools|tojson)+'<|im_end|>\n'}}{% endif %}{% for m in messages %}"
    "{{'<|im_start|>'+m.role+'\n'+m.content}}{% for c in m.tool_calls %}{{'<tool_call>\n'+(c.function|tojson)}}"
    "{% endfor %}{{'<|im_end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)


def write_hermes_model(directory: Path) -> Path:
    """A copy of the starter's file in ``directory``, with :data:`HERMES` in place of its template."""
    there = starter()
    assert there is not None
    old = read_header(there.path).chat_template.encode()
    assert len(HERMES) <= len(old)
    file = directory / "hermes.gguf"
    file.write_bytes(there.path.read_bytes().replace(old, HERMES.encode().ljust(len(old))))
    return file
