"""Independent readers of the document formats: compare a document with its translation, and list the texts of both.

Each function asserts that all but the texts is equal and returns pairs: the text to translate, and what was written.
"""

from __future__ import annotations

import csv
import gettext
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from mdit_py_plugins.admon import admon_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.front_matter import front_matter_plugin

if TYPE_CHECKING:
    from pathlib import Path

Pairs = list[tuple[str, str]]


def zipped(before: list[str], after: list[str]) -> Pairs:
    assert len(before) == len(after)
    return list(zip(before, after, strict=True))


def markdown(before: bytes, after: bytes, _folder: Path) -> Pairs:
    parser = MarkdownIt("gfm-like", {"linkify": False})
    for plugin in (front_matter_plugin, footnote_plugin, deflist_plugin, admon_plugin):
        parser.use(plugin)

    def read(data: bytes) -> tuple[list[Any], list[str]]:
        shape: list[Any] = []
        texts = []
        for token in parser.parse(data.decode()):
            if token.type != "inline":
                keeps = token.type in {"fence", "code_block", "html_block", "front_matter"}
                shape.append(
                    (token.type, token.tag, token.level, token.markup, token.attrs, token.content if keeps else "")
                )
                continue
            text = ""
            for child in token.children or ():
                if child.type in {"text", "softbreak"}:
                    text += child.content or " "
                else:
                    shape.append((child.type, child.attrs, child.content if child.type != "image" else "", child.meta))
                    text += "\0" if child.type != "image" else f"\0{child.content}\0"
            texts.append(re.sub(r"\A(?:\[![\w-]+\]-?|\[[ x]\])", "", text))
        return shape, texts

    (shape, texts), (new_shape, new_texts) = read(before), read(after)
    assert shape == new_shape
    assert before.count(b"\r\n") > 0 or b"\r" not in after
    return zipped(texts, new_texts)


def srt(before: bytes, after: bytes, _folder: Path) -> Pairs:
    def read(data: bytes) -> tuple[list[str], list[str]]:
        parts = re.split(r"(?m)^(\ufeff?\d+\n\d\d:\d\d:\d\d,\d{3} --> [^\n]*)$", data.decode().replace("\r\n", "\n"))
        return [parts[0], *parts[1::2]], parts[2::2]

    (heads, texts), (new_heads, new_texts) = read(before), read(after)
    assert heads == new_heads
    for text, new in zip(texts, new_texts, strict=True):
        for sign in ("\\N", "{\\an8}", "<i>", "</i>", "<font", "</font>", "- ", "\n\n"):
            assert text.count(sign) == new.count(sign), (text, new)
    return zipped([unbroken(text) for text in texts], [unbroken(text) for text in new_texts])


def unbroken(text: str) -> str:
    return re.sub(r"<[^<>]*>|\{[^{}]*\}", "", text.replace("\\N", " "))


def vtt(before: bytes, after: bytes, _folder: Path) -> Pairs:
    def read(data: bytes) -> tuple[list[Any], list[str]]:
        shape: list[Any] = []
        texts = []
        for block in data.decode().split("\n\n"):
            head, arrow, payload = re.match(r"((?:[^\n]*\n)?)([^\n]*-->[^\n]*\n)?(.*)", block, re.DOTALL).groups()  # type: ignore[union-attr]
            if arrow is None and "-->" in block:
                head, (arrow, _, payload) = "", block.partition("\n")
            if arrow is None:
                shape.append(block)
            else:
                shape.append((head, arrow, re.findall(r"<[^<>]*>|&\w+;", payload)))
                texts.append(re.sub(r"<[^<>]*>|&\w+;", "\0", payload))
        return shape, texts

    (shape, texts), (new_shape, new_texts) = read(before), read(after)
    assert shape == new_shape
    return zipped(texts, new_texts)


PoEntry = dict[str, str]


def po_entries(data: bytes, encoding: str) -> tuple[list[str], list[PoEntry]]:
    """The lines that hold no msgstr, and the entries."""
    kept: list[str] = []
    entries: list[PoEntry] = []
    word = ""
    for line in data.decode(encoding).split("\n"):
        found = re.match(r'(msg\w+(?:\[\d\])?) (".*")', line)
        if found:
            has_context = word == "msgctxt"
            word = found[1]
            if word == "msgctxt" or (word == "msgid" and not has_context):
                entries.append({})
            entries[-1][word] = json.loads(found[2])
        elif line.startswith('"'):
            entries[-1][word] += json.loads(line)
        if not word.startswith("msgstr") or line[:1] not in {"m", '"'}:
            kept.append(line)
    return kept, entries


def po(before: bytes, after: bytes, folder: Path) -> Pairs:
    declared, now = (re.search(rb"charset=([\w-]+)", data)[1].decode() for data in (before, after))  # type: ignore[index]
    kept, entries = po_entries(before, "utf-8" if declared == "ASCII" else declared)
    new_kept, new_entries = po_entries(after, now)
    assert kept == new_kept
    if shutil.which("msgfmt"):
        (folder / "a.po").write_bytes(after)
        done = subprocess.run(["msgfmt", "-c", "-o", "a.mo", "a.po"], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        with (folder / "a.mo").open("rb") as stream:
            catalog = gettext.GNUTranslations(stream)
        for entry in new_entries[1:]:
            if entry.keys() == {"msgid", "msgstr"}:
                assert catalog.gettext(entry["msgid"]) in {entry["msgstr"], entry["msgid"]}  # fuzzy ones are left out
    plurals = re.search(r"nplurals=(\d); plural=([^;]*);", entries[0]["msgstr"])
    assert plurals is not None
    pairs = []
    for entry, new in zip(entries[1:], new_entries[1:], strict=True):
        assert entry.keys() == new.keys()
        for word, value in entry.items():
            if not word.startswith("msgstr") or value:
                assert new[word] == value
                continue
            source = entry["msgid"]
            if "msgid_plural" in entry:
                is_for_one_alone = word == "msgstr[0]" and plurals[2] == "(n != 1)"
                names_the_number = word == "msgstr[0]" and plurals[1] != "1" and "%d" in source
                source = source if is_for_one_alone or names_the_number else entry["msgid_plural"]
            assert [source[-1:] == "\n", source[:1] == "\n"] == [new[word][-1:] == "\n", new[word][:1] == "\n"]
            pairs.append((source, new[word]))
    return pairs


def xliff(before: bytes, after: bytes, _folder: Path) -> Pairs:
    old, new = ET.fromstring(before), ET.fromstring(after)
    pairs: Pairs = []

    def local(node: ET.Element) -> str:
        return node.tag.rpartition("}")[2]

    def inner(node: ET.Element) -> str:
        parts = [node.text or ""]
        for child in node:
            parts += [f"<{local(child)} {sorted(child.attrib.items())}>", inner(child), "</>", child.tail or ""]
        return "".join(parts)

    def compare(a: ET.Element, b: ET.Element, *, fixed: bool = False) -> None:
        fixed = fixed or a.get("translate") == "no"
        is_unit = local(a) in {"trans-unit", "segment"} and not fixed
        states = {
            "initial": "translated",
            "new": "needs-review-translation",
            "needs-translation": "needs-review-translation",
        }
        left, right = list(a), list(b)
        rewritten = False
        if is_unit:
            source = next(child for child in left if local(child) == "source")
            target = next((child for child in left if local(child) == "target"), None)
            written = next(child for child in right if local(child) == "target")
            old_text = "" if target is None else inner(target)
            is_new = (target is not None and target.get("state") in states) or a.get("state") == "initial"
            rewritten = not old_text.strip() or (is_new and old_text == inner(source))
            if rewritten:
                pairs.append((inner(source), inner(written)))
                if target is not None:
                    state = target.get("state")
                    assert written.get("state") == states.get(state or "", state)
            else:
                assert target is not None
                assert (old_text, target.attrib) == (inner(written), written.attrib)
            right.remove(written)
            left = [child for child in left if child is not target]
        attributes = dict(a.attrib)
        if rewritten and attributes.get("state") == "initial" and b.get("state") == "translated":
            attributes["state"] = "translated"
        assert (a.tag, attributes, (a.text or "").strip()) == (b.tag, b.attrib, (b.text or "").strip())
        assert len(left) == len(right)
        for child, other in zip(left, right, strict=True):
            compare(child, other, fixed=fixed)
            assert (child.tail or "").strip() == (other.tail or "").strip()

    compare(old, new)
    return pairs


def table(before: bytes, after: bytes, _folder: Path) -> Pairs:
    def read(data: bytes) -> list[list[str]]:
        text = data.decode("utf-16" if data[:1] == b"\xff" else "utf-8-sig")
        text = re.sub(r"\Asep=.\r?\n", "", text)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=text[2], strict=True))

    rows, new_rows = read(before), read(after)
    assert before[:4] == after[:4]
    assert [[row[0], *row[2:]] for row in rows] == [[row[0], *row[2:]] for row in new_rows]
    return zipped([row[1] for row in rows[1:]], [row[1] for row in new_rows[1:]])


def properties(before: bytes, after: bytes, _folder: Path) -> Pairs:
    def load(data: bytes) -> tuple[list[str], list[str]]:
        """Keys and comments, and values, as the documentation of java.util.Properties describes it."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        names, values = [], []
        lines = iter(text.replace("\r\n", "\n").split("\n"))
        for first in lines:
            line = first.lstrip(" \t")
            if not line or line[0] in "#!":
                names.append(line)
                continue
            while len(line) - len(line.rstrip("\\")) & 1:
                line = line[:-1] + next(lines).lstrip(" \t")
            end = 0
            while end < len(line) and line[end] not in "=: \t":
                end += 2 if line[end] == "\\" else 1
            value = line[end:].lstrip(" \t")
            value = value[1:].lstrip(" \t") if value[:1] in {"=", ":"} else value
            names.append(line[:end])
            values.append(
                re.sub(r"\\(u[0-9a-fA-F]{4}|.)", escaped, value).encode("utf-16", "surrogatepass").decode("utf-16")
            )
        return names, values

    def escaped(found: re.Match[str]) -> str:
        code = found[1]
        return (
            chr(int(code[1:], 16)) if len(code) == 5 else {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(code, code)
        )

    (names, values), (new_names, new_values) = load(before), load(after)
    assert names == new_names
    return zipped(values, new_values)


def json_strings(before: bytes, after: bytes, _folder: Path) -> Pairs:
    pairs: Pairs = []

    def compare(a: Any, b: Any) -> None:
        if isinstance(a, dict):
            assert list(a) == list(b)
            for key, value in a.items():
                if key.startswith("@"):
                    assert b[key] == value
                else:
                    compare(value, b[key])
        elif isinstance(a, list):
            assert len(a) == len(b)
            for value, other in zip(a, b, strict=True):
                compare(value, other)
        elif isinstance(a, str):
            pairs.append((a, b))
        else:
            assert (type(a), a) == (type(b), b)

    compare(json.loads(before), json.loads(after))
    return pairs


def android(before: bytes, after: bytes, _folder: Path) -> Pairs:
    pairs: Pairs = []

    def inner(node: ET.Element) -> str:
        parts = [node.text or ""]
        for child in node:
            kept = f"<{child.tag} {sorted(child.attrib.items())}"
            # The content of xliff:g is a placeholder.
            parts += (
                [f"{kept} {child.text}>", child.tail or ""]
                if child.tag.endswith("}g")
                else [f"{kept}>", inner(child), "</>", child.tail or ""]
            )
        text = "".join(parts)
        text = text if text.strip()[:1] == '"' else re.sub(r"\s+", " ", text).strip()
        return re.sub(
            r"\\(u[0-9a-fA-F]{4}|.)",
            lambda f: chr(int(f[1][1:], 16)) if len(f[1]) == 5 else {"n": "\n"}.get(f[1], f[1]),
            text,
        )

    def compare(a: ET.Element, b: ET.Element, *, fixed: bool = False) -> None:
        fixed = fixed or a.get("translatable") == "false"
        assert (a.tag, a.attrib) == (b.tag, b.attrib)
        if a.tag in {"string", "item"} and not fixed:
            pairs.append((inner(a), inner(b)))
            return
        assert (a.text or "").strip() == (b.text or "").strip()
        assert len(a) == len(b)
        for child, other in zip(a, b, strict=True):
            compare(child, other, fixed=fixed)

    compare(ET.fromstring(before), ET.fromstring(after))
    comments = re.compile(rb"<!--.*?-->", re.DOTALL)
    assert comments.findall(before) == comments.findall(after)
    # Each apostrophe and quotation mark is escaped.
    assert not re.search(rb"<item[^>]*>[^<]*[^\\<]'", after)
    return [pair for pair in pairs if not pair[0].startswith("@string")]


def apple_strings(before: bytes, after: bytes, _folder: Path) -> Pairs:
    def read(data: bytes) -> tuple[str, list[str]]:
        text = data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
        texts: list[str] = []

        def taken(found: re.Match[str]) -> str:
            if found["value"] is None:
                return found[0]
            texts.append(re.sub(r"\\(U[0-9a-fA-F]{4}|.)", escaped, found["value"]))
            return found["before"]

        comment = r"/\*(?:(?!\*/).)*\*/"
        key = rf'(?P<before>(?:"(?:[^"\\]|\\.)*"|\w+)\s*(?:{comment})?\s*=\s*)'
        pattern = rf'{comment}(?!\s*=)|//[^\n]*|{key}"(?P<value>(?:[^"\\]|\\.)*)"'
        return re.sub(pattern, taken, text, flags=re.DOTALL), texts

    def escaped(found: re.Match[str]) -> str:
        return chr(int(found[1][1:], 16)) if len(found[1]) == 5 else {"n": "\n", "t": "\t"}.get(found[1], found[1])

    (shape, texts), (new_shape, new_texts) = read(before), read(after)
    assert shape == new_shape
    assert before[:3] == after[:3]
    return zipped(texts, new_texts)


READERS = {
    "md": markdown, "srt": srt, "vtt": vtt, "po": po, "xliff12": xliff, "xliff20": xliff, "csv": table,
    "properties": properties, "json": json_strings, "android": android, "apple": apple_strings,
}  # fmt: skip
