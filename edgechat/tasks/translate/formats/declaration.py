"""The encoding that a PO file, an XML file or a properties file is in by its own rules, and how to declare another."""

from __future__ import annotations

import re

_PO_CHARSET = re.compile(r'(?P<before>"Content-Type:[^"\n]*?charset=)(?P<name>[^\s"\\;]+)', re.IGNORECASE)
_XML_ENCODING = re.compile(
    r"""(?P<before>\A\ufeff?\s*<\?xml\b[^>]*?\bencoding\s*=\s*["'])(?P<name>[A-Za-z][\w.-]*)(?=["'])"""
)
_XML_VERSION = re.compile(r"""\A\ufeff?\s*<\?xml\b\s*version\s*=\s*(?:"[^"]*"|'[^']*')""")
_DECLARATIONS = {"po": _PO_CHARSET, "xliff": _XML_ENCODING, "android": _XML_ENCODING}
_HEAD = 64 << 10
"""Bytes in which the declaration stands."""
_TEMPLATE = "CHARSET"
"""What a PO template has in place of a name."""


def declared_encoding(data: bytes, form: str) -> str | None:
    """The encoding of a document by its own rules; None where its content has to tell.

    A properties file is in UTF-8 when it can be, else in ISO-8859-1, as Java reads it.
    """
    if form == "properties":
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return "iso-8859-1"
        return "utf-8"
    if form not in _DECLARATIONS:
        return None
    found = _DECLARATIONS[form].search(data[:_HEAD].decode("latin-1"))
    if found is not None:
        return None if found["name"] == _TEMPLATE else found["name"]
    return "utf-8" if form != "po" and b"<" in data[:_HEAD] and b"\0" not in data[:_HEAD] else None


def with_declared_encoding(text: str, form: str, encoding: str) -> str | None:
    """``text`` with ``encoding`` in its declaration; None when its format has none.

    An XML file without a declaration is in UTF-8 already, and stays as it is.
    """
    if form not in _DECLARATIONS:
        return None
    found = _DECLARATIONS[form].search(text)
    if found is not None:
        return text[: found.start("name")] + encoding + text[found.end("name") :]
    if form != "po" and (version := _XML_VERSION.match(text)) is not None:
        return f'{text[: version.end()]} encoding="{encoding}"{text[version.end() :]}'
    return text
