"""Makes documents by rules: every construct of a format, combined at random from a seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SUBJECTS = ["The pump", "The motor", "This valve", "The operator", "A red lamp", "The conveyor", "Every sensor"]
VERBS = ["stops", "runs slowly", "opens the drain", "shows a warning", "needs oil", "waits for the signal"]
ENDS = ["", " at once", " after the test", " in the morning", " when it is hot", " behind the cover"]


@dataclass(frozen=True)
class Made:
    name: str
    data: bytes
    options: tuple[tuple[str, object], ...] = ()


def sentence(r: Random) -> str:
    return f"{r.choice(SUBJECTS)} {r.choice(VERBS)}{r.choice(ENDS)}."


def phrase(r: Random) -> str:
    return f"{r.choice(SUBJECTS)} {r.choice(VERBS)}"


def some(r: Random, count: int, *rules: Callable[[], str]) -> list[str]:
    """Each rule once, then more of them at random, in a random order."""
    chosen = [*rules, *(r.choice(rules) for _ in range(max(0, count - len(rules))))]
    r.shuffle(chosen)
    return [rule() for rule in chosen]


def inline(r: Random) -> str:
    return r.choice(
        [
            f"{phrase(r)} with **{r.choice(VERBS)}** and `code {r.randint(1, 9)}`.",
            f'See [the {r.choice(VERBS)} page](https://example.com/{r.randint(1, 99)} "kept") now.',
            "Read the [installation guide] before you start.",
            "Read the [pump manual][] and wait.",
            "Look at [this part][guide2] closely.",
            f"{phrase(r)}[^note] here.",
            f"![{phrase(r)}](picture{r.randint(1, 9)}.png) shows it.",
            f"Wait {r.randint(2, 90)} seconds for {{name}} and <kbd>Enter</kbd>.",
            "Press *Start*, then __Stop__ and ~~never~~ leave.",
            f"{sentence(r)} {sentence(r)}",
        ]
    )


def markdown(r: Random) -> Made:
    def quoted(lines: list[str]) -> str:
        return "\n".join(f"> {line}".rstrip() for line in lines)

    parts = some(
        r,
        14,
        lambda: f"{'#' * r.randint(1, 4)} {phrase(r)}",
        lambda: f"{phrase(r)}\n{r.choice(['=====', '---', '-----'])}",
        lambda: "\n".join(inline(r) for _ in range(r.randint(1, 3))),
        lambda: quoted([f"[!{r.choice(['NOTE', 'WARNING', 'tip'])}]", inline(r), inline(r)]),
        lambda: quoted([f"[!info]- {phrase(r)}", inline(r), "", inline(r)]),
        lambda: quoted([f"## {phrase(r)}", inline(r), "", "---", "", f"- {phrase(r)}", "", "```", "code = 1", "```"]),
        lambda: quoted([f"| {phrase(r)} | b |", "|---|:-:|", f"| {phrase(r)} | `a\\|b` |"]),
        lambda: f"- {phrase(r)}\n  - {phrase(r)}\n    {phrase(r)}\n- [ ] {inline(r)}\n- [x] {phrase(r)}",
        lambda: f"1. {inline(r)}\n2. {phrase(r)}\n\n   {inline(r)}\n\n       indented = code\n",
        lambda: f"* {phrase(r)}\n\n  > {inline(r)}\n\n  ```sh\n  echo stop\n  ```",
        lambda: f"{phrase(r)}\n: {inline(r)}\n: {phrase(r)}",
        lambda: f"{phrase(r)}  \n{phrase(r)}\\\n{phrase(r)}",
        lambda: f"| Part | {phrase(r)} |\n|:--|--:|\n| {inline(r)} | 12 |\n| a \\| b | {phrase(r)} |",
        lambda: f'!!! note "{phrase(r)}"\n    {inline(r)}\n\n    {inline(r)}',
        lambda: "```python\n# not a heading\nprint('stop')\n```",
        lambda: "    indented = code",
        lambda: "<div>\n<p>kept</p>\n</div>",
        lambda: "<!-- a comment\nover lines -->",
        lambda: "***",
        lambda: f"{phrase(r)} <!-- inline --> {phrase(r)}.",
    )
    front = r.choice(["", "---\ntitle: kept\n---\n\n"])
    tail = (
        f"[^note]: {inline(r).replace('[^note]', '')}\n\n    {phrase(r)}\n\n"
        "[installation guide]: https://example.com/install\n[Pump Manual]: <https://example.com/p> 'kept title'\n"
        "[guide2]: https://example.com/g\n"
    )
    text = front + "\n\n".join(parts) + "\n\n" + tail
    return Made("a.md", (text.replace("\n", "\r\n") if r.random() < 0.2 else text).encode())


def clock(r: Random, number: int, sign: str) -> tuple[str, str]:
    return (
        f"00:{number // 30:02}:{number % 30 * 2:02}{sign}{r.randint(0, 499):03}",
        f"00:{number // 30:02}:{number % 30 * 2 + 1:02}{sign}000",
    )


def cue(r: Random) -> str:
    return r.choice(
        [
            sentence(r),
            f"{phrase(r)}\n{phrase(r)}",
            f"- {phrase(r)}\n- {phrase(r)}",
            f"<i>{phrase(r)}</i>",
            f"{phrase(r)} {r.randint(2, 99)} times.",
        ]
    )


def srt(r: Random) -> Made:
    rules = some(
        r,
        12,
        lambda: cue(r),
        lambda: f"{phrase(r)}\\N{phrase(r)}",
        lambda: f"{sentence(r)}\n\n{sentence(r)}",
        lambda: f"{{\\an8}}{phrase(r)}",
        lambda: f'<font color="#ff0000">{phrase(r)}</font>',
        lambda: "♪ ♪",
        lambda: "",
        lambda: "42",
    )
    text = r.choice(["", "\ufeff"])
    for number, body in enumerate(rules, 1):
        start, end = clock(r, number, ",")
        text += f"{number}\n{start} --> {end}{r.choice(['', ' X1:10 Y1:20'])}\n{body}\n" + r.choice(["\n", "\n\n", ""])
    return Made("a.srt", (text.replace("\n", "\r\n") if r.random() < 0.3 else text).encode())


def vtt(r: Random) -> Made:
    rules = some(
        r,
        12,
        lambda: cue(r),
        lambda: f"<v {r.choice(['Ann', 'Bob'])}>{sentence(r)}</v>",
        lambda: f"<v Ann>{phrase(r)}</v>\n<v.loud Bob>{phrase(r)}</v>",
        lambda: f"<c.yellow.bg_blue>{phrase(r)}</c> &amp; {phrase(r)}",
        lambda: f"<00:00:01.500>{phrase(r)} <00:00:02.000>{phrase(r)}",
        lambda: f"{phrase(r)} &lt;b&gt; <lang de>{phrase(r)}</lang>",
    )
    blocks = [r.choice(["WEBVTT", "WEBVTT - a title", "\ufeffWEBVTT\nX-HEAD: kept"])]
    others = ["NOTE one line", "NOTE\ntwo\nlines", "STYLE\n::cue { color: lime }", "REGION\nid:fred\nwidth:40%"]
    blocks += r.sample(others, r.randint(1, 4))
    for number, body in enumerate(rules, 1):
        start, end = clock(r, number, ".")
        if r.random() < 0.5:
            start, end = start.removeprefix("00:"), end.removeprefix("00:")
        name = r.choice(["", f"{number}\n", f"part {number}\n"])
        blocks.append(f"{name}{start} --> {end}{r.choice(['', ' align:start position:10%'])}\n{body}")
        if r.random() < 0.15:
            blocks.append("NOTE between")
    return Made("a.vtt", ("\n\n".join(blocks) + "\n").encode())


def po(r: Random) -> Made:
    plural = r.choice(
        [
            "nplurals=1; plural=0;",
            "nplurals=2; plural=(n != 1);",
            "nplurals=2; plural=(n > 1);",
            "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
        ]
    )
    forms = int(plural[9])
    charset = r.choice(["UTF-8", "ASCII", "ISO-8859-1"])
    entries = some(
        r,
        12,
        lambda: f'#: main.c:{r.randint(1, 99)}\nmsgid "{sentence(r)}"\nmsgstr ""',
        lambda: f'msgctxt "menu {r.random()}"\nmsgid "{phrase(r)}"\nmsgstr ""',
        lambda: f'msgid ""\n"{phrase(r)} \\"now\\"\\n"\n"{phrase(r)}\\n"\nmsgstr ""',
        lambda: (
            '#, c-format\nmsgid "One file was removed."\nmsgid_plural "%d files were removed."\n'
            + "\n".join(f'msgstr[{i}] ""' for i in range(forms))
        ),
        lambda: (
            '#, c-format\nmsgid "%d part is ready."\nmsgid_plural "%d parts are ready."\n'
            + "\n".join(f'msgstr[{i}] ""' for i in range(forms))
        ),
        lambda: f'#, fuzzy\n#| msgid "Old"\nmsgid "{sentence(r)}"\nmsgstr "Déjà"'.replace("Déjà", "Ancien"),
        lambda: f'msgid "{sentence(r)}"\nmsgstr "Fini."',
        lambda: f'#, c-format\nmsgid "{phrase(r)} %s %d times\\tand ends"\nmsgstr ""',
        lambda: f'#. {phrase(r)}\n#, python-format\nmsgid "{phrase(r)} %(name)s\\n"\nmsgstr ""\n',
    )
    seen: set[str] = set()
    unique = [each for each in entries if (key := each[each.index("msg") :]) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]
    head = (
        '# A comment\nmsgid ""\nmsgstr ""\n"Project-Id-Version: a\\n"\n'
        f'"Content-Type: text/plain; charset={charset}\\n"\n'
        f'"Content-Transfer-Encoding: 8bit\\n"\n"Language: fr\\n"\n"Plural-Forms: {plural}\\n"\n'
    )
    text = "\n\n".join([head.rstrip("\n"), *unique, '#~ msgid "Gone"\n#~ msgstr ""']) + "\n"
    return Made("a.po", text.encode("latin-1" if charset == "ISO-8859-1" else "utf-8"))


def xml_words(r: Random) -> str:
    return r.choice(
        [
            sentence(r),
            f'{phrase(r)} <x id="1"/> {phrase(r)}.',
            f'<g id="1">{phrase(r)}</g> &amp; <g id="2">{phrase(r)}</g>',
            f"{phrase(r)} &lt;b&gt; {r.randint(2, 99)}",
            f"{sentence(r)} {sentence(r)}",
        ]
    )


def xliff12(r: Random) -> Made:
    def unit(body: str, attributes: str = "") -> Callable[[], str]:
        def make() -> str:
            words = xml_words(r)
            return (
                f'      <trans-unit id="u{r.randint(1, 10**9)}"{attributes}>\n        '
                f"{body.replace('WORDS', words)}\n      </trans-unit>"
            )

        return make

    units = some(
        r,
        14,
        unit("<source>WORDS</source>"),
        unit("<source>WORDS</source>\n        <target/>"),
        unit("<source>WORDS</source><target></target><note>kept note</note>"),
        unit('<source>WORDS</source>\n        <target state="new">WORDS</target>'),
        unit('<source>WORDS</source>\n        <target state="needs-translation">WORDS</target>'),
        unit('<source>WORDS</source>\n        <target state="translated">Fini</target>'),
        unit('<source>WORDS</source>\n        <target state="new">Autre chose</target>'),
        unit("<source>WORDS</source>", ' translate="no"'),
        unit("<source>WORDS</source><alt-trans><source>a</source><target>b</target></alt-trans>"),
        unit("<!-- <source>no</source> --><source xml:lang='en'>WORDS</source>"),
        lambda: "      <!-- a comment -->",
        lambda: '      <trans-unit id="c1"><source><![CDATA[<b>The pump</b> stops & waits]]></source></trans-unit>',
    )
    encoding = r.choice(["UTF-8", "ISO-8859-1", "us-ascii"])
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n'
        '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">\n'
        '  <file source-language="en" target-language="fr" datatype="plaintext" original="a">\n    <body>\n'
        + "\n".join(units)
        + "\n    </body>\n  </file>\n</xliff>\n"
    )
    return Made("a.xlf", text.encode())


def xliff20(r: Random) -> Made:
    def unit(body: str, attributes: str = "", segment: str = "") -> Callable[[], str]:
        def make() -> str:
            words = sentence(r) if r.random() < 0.5 else f'{phrase(r)} <ph id="1"/> <pc id="2">{phrase(r)}</pc>.'
            return (
                f'    <unit id="u{r.randint(1, 10**9)}"{attributes}>\n      <notes><note>kept</note></notes>\n'
                f"      <segment{segment}>\n        {body.replace('WORDS', words)}\n      </segment>\n    </unit>"
            )

        return make

    units = some(
        r,
        12,
        unit("<source>WORDS</source>"),
        unit("<source>WORDS</source>\n        <target/>"),
        unit("<source>WORDS</source>\n        <target>WORDS</target>", segment=' state="initial"'),
        unit("<source>WORDS</source>", segment=' id="s1" state="initial"'),
        unit("<source>WORDS</source>\n        <target>Fini</target>", segment=' state="final"'),
        unit("<source>WORDS</source>", ' translate="no"'),
        lambda: (
            f'    <unit id="m{r.randint(1, 10**9)}">\n      <segment><source>{sentence(r)}</source></segment>\n'
            "      <ignorable><source> </source></ignorable>\n"
            f"      <segment><source>{sentence(r)}</source></segment>\n"
            "    </unit>"
        ),
    )
    text = (
        '<?xml version="1.0"?>\n<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" '
        'trgLang="fr">\n  <file id="f1">\n' + "\n".join(units) + "\n  </file>\n</xliff>\n"
    )
    return Made("a.xliff", text.encode())


def icu(r: Random) -> str:
    return r.choice(
        [
            f"{{count, plural, one {{# {r.choice(['file', 'part'])} waits}} other {{# files wait}}}}",
            f"{{n, plural, offset:1 =0 {{{phrase(r)}}} other {{{phrase(r)} # times}}}}",
            f"{{kind, select, pump {{{phrase(r)}}} other {{{{n, plural, one {{# lamp}} other {{# lamps}}}}}}}}",
        ]
    )


def csv_table(r: Random) -> Made:
    sign = r.choice([",", ";", "\t"])
    cells = some(
        r,
        12,
        lambda: sentence(r),
        lambda: f'"{phrase(r)}, ""now""; {phrase(r)}"',
        lambda: f'"{phrase(r)}\n{phrase(r)}"',
        lambda: f'"{icu(r)}"',
        lambda: "",
        lambda: "12",
        lambda: f"{phrase(r)} {{0}}",
    )
    end = r.choice(["\n", "\r\n"])
    head = r.choice(["", f"sep={sign}{end}"])
    rows = [
        sign.join(("id", "text", "note")),
        *(sign.join((str(i), cell, "kept word")) for i, cell in enumerate(cells)),
    ]
    text = head + end.join(rows) + r.choice(["", end])
    encoding = r.choice(["utf-8", "utf-8-sig", "utf-16"])
    return Made("a.csv", text.encode(encoding), (("columns", ("text",)),))


def properties(r: Random) -> Made:
    end = r.choice(["\n", "\r\n"])
    lines = some(
        r,
        16,
        lambda: f"# {phrase(r)}",
        lambda: f"! {phrase(r)}",
        lambda: "",
        lambda: f"key.{r.randint(1, 10**9)}={sentence(r)}",
        lambda: f"key.{r.randint(1, 10**9)} : {sentence(r)}",
        lambda: f"  key.{r.randint(1, 10**9)}\t{sentence(r)}",
        lambda: f"long.{r.randint(1, 10**9)} = {phrase(r)} \\{end}    {phrase(r)}",
        lambda: f"esc\\ aped\\:{r.randint(1, 10**9)}={phrase(r)}\\tand \\u00e9tat\\n{phrase(r)}",
        lambda: f"quote.{r.randint(1, 10**9)}={phrase(r)} {{0}} doesn''t wait",
        lambda: f"icu.{r.randint(1, 10**9)}={icu(r)}",
        lambda: f"number.{r.randint(1, 10**9)}=12",
        lambda: f"empty.{r.randint(1, 10**9)}=",
    )
    extra, encoding = r.choice(
        [
            ("", "ascii"),
            (f"umlaut=The café {r.choice(VERBS)}{end}", "latin-1"),
            (f"u=The café {r.choice(VERBS)}{end}", "utf-8"),
        ]
    )
    return Made("a.properties", (end.join(lines) + end + extra).encode(encoding))


def json_strings(r: Random) -> Made:
    def value(depth: int) -> object:
        kind = r.randint(0, 9)
        if depth and kind < 3:
            return {f"k{i} {r.choice(VERBS)}": value(depth - 1) for i in range(r.randint(1, 4))}
        if depth and kind == 3:
            return [value(depth - 1) for _ in range(r.randint(0, 3))]
        return r.choice(
            [
                sentence(r), f"{phrase(r)} {{{{name}}}}", f'{phrase(r)} "now"\n{phrase(r)}', icu(r), "", "42", 12,
                True, None,
                f"See $t(menu.close) and {phrase(r)}", f"<b>{phrase(r)}</b> \\ {phrase(r)} 😀 été",
            ]
        )  # fmt: skip

    body: dict[str, object] = {"@@locale": "en", "first": sentence(r), "@first": {"description": phrase(r)}}
    body |= {f"key{i}": value(3) for i in range(12)}
    text = json.dumps(body, ensure_ascii=r.random() < 0.5, indent=r.choice([None, 2, "\t"]))
    return Made(r.choice(["a.json", "a.arb"]), (text + "\n").encode())


def android(r: Random) -> Made:
    def named(body: str, attributes: str = "") -> str:
        return f'    <string name="n{r.randint(1, 10**9)}"{attributes}>{body}</string>'

    parts = some(
        r,
        14,
        lambda: named(sentence(r)),
        lambda: named(f'{phrase(r)}, it doesn\\\'t \\"wait\\"\\n{phrase(r)}'),
        lambda: named(f"<b>{phrase(r)}</b> &amp; <i>{phrase(r)}</i> &lt;now&gt;"),
        lambda: named(f'{phrase(r)} <xliff:g id="n" example="3">%1$s</xliff:g> and %2$d'),
        lambda: named(phrase(r), ' translatable="false"'),
        lambda: named(f'<![CDATA[<a href="x">{phrase(r)}</a> & {phrase(r)}]]>'),
        lambda: named(f'"  {phrase(r)}  "'),
        lambda: named("@string/other"),
        lambda: named(f"\n        {phrase(r)}\n        {phrase(r)}\n    "),
        lambda: named(f"\\u0045very pump {r.choice(VERBS)} \\@ noon"),
        lambda: (
            f'    <string-array name="a{r.randint(1, 10**9)}">\n        <item>{phrase(r)}</item>\n'
            f"        <item>{sentence(r)}</item>\n    </string-array>"
        ),
        lambda: (
            f'    <plurals name="p{r.randint(1, 10**9)}">\n        <item quantity="one">%d part waits</item>\n'
            '        <item quantity="other">%d parts wait</item>\n    </plurals>'
        ),
        lambda: '    <dimen name="w">3dp</dimen>',
        lambda: f"    <!-- {phrase(r)} <string name='x'>kept</string> -->",
    )
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<resources xmlns:xliff="urn:oasis:names:tc:xliff:document:1.2">\n'
        + "\n".join(parts)
        + "\n</resources>\n"
    )
    return Made("strings.xml", text.encode())


def apple_strings(r: Random) -> Made:
    parts = some(
        r,
        14,
        lambda: f"/* {phrase(r)} */",
        lambda: f"// {phrase(r)}",
        lambda: "",
        lambda: f'"key {r.randint(1, 10**9)}" = "{sentence(r)}";',
        lambda: f'"esc{r.randint(1, 10**9)}" = "{phrase(r)} \\"now\\"\\n{phrase(r)}\\t\\U00e9t\\U00e9";',
        lambda: f'"fmt{r.randint(1, 10**9)}" = "%1$@ and %2$lld: {phrase(r)}";',
        lambda: f'plain{r.randint(1, 10**9)} = "{phrase(r)} %%"; "two{r.randint(1, 10**9)}"="{phrase(r)}";',
        lambda: f'"empty{r.randint(1, 10**9)}" = "";',
        lambda: f'"{phrase(r)} = ;{r.randint(1, 10**9)}" /* kept = "x"; */ = "{sentence(r)}";',
    )
    return Made("Localizable.strings", ("\n".join(parts) + "\n").encode(r.choice(["utf-8", "utf-16", "utf-8-sig"])))


RULES: dict[str, Callable[[Random], Made]] = {
    "md": markdown, "srt": srt, "vtt": vtt, "po": po, "xliff12": xliff12, "xliff20": xliff20, "csv": csv_table,
    "properties": properties, "json": json_strings, "android": android, "apple": apple_strings,
}  # fmt: skip
