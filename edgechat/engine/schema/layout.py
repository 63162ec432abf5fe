"""The white space of decoded JSON: one space behind each colon and comma, as language models have mostly seen it.

Fixed, because where white space is optional nothing is forced, and small models fill the context with it. Without the
spaces they lose the thread: of six notes that SmolLM2-135M translated, four ended by themselves with them and none
without, where each ran on to its bound; the answers took 292 tokens instead of 465.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

COLON, COMMA = ": ", ", "

LAYOUT: JsonCompileOptions = {"whitespace_flexible": False, "key_separator": COLON, "item_separator": COMMA}
"""The same in llguidance's words, as overrides of its JSON compiler."""
