"""The white space of decoded JSON: one space behind each colon and comma, as in most text that models were trained on.

It is fixed: where white space is optional no token is forced, and small models fill the context with it. Without the
spaces answers do not end: of six notes that SmolLM2-135M translated, four ended by themselves with them and none
without, where each ran to its bound; the answers took 292 tokens instead of 465.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

COLON, COMMA = ": ", ", "

LAYOUT: JsonCompileOptions = {"whitespace_flexible": False, "key_separator": COLON, "item_separator": COMMA}
"""The same as options of llguidance's JSON compiler."""
