"""A result as text: the answer, where it stands, what was quoted, and what a rule doubts.

A model that found no answer is named, with what it read: a small one misses answers that are there. Only where no
section holds a word of the question do the documents themselves not have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgechat.tasks.language import Language, Translations
    from edgechat.tasks.result import TaskResult

_TEXTS: dict[str, Translations] = {
    "missed": {
        "en": "{model} found no answer in the sections that it read. Others may have one.",
        "ja": "{model} は、読んだ節に答えを見つけられませんでした。ほかの節にあるかもしれません。",
        "zh": "{model} 在读过的章节中没有找到答案。其他章节可能有答案。",
    },
    "model": {"en": "The model", "ja": "モデル", "zh": "模型"},
    "read": {"en": "Read:", "ja": "読んだ節:", "zh": "读过的章节："},
    "others": {"en": "See also:", "ja": "ほかの近い節:", "zh": "另见："},
    "no_match": {
        "en": "No section has enough of the question's words, so no model was asked. Try the words of the manual.",
        "ja": "質問の語を十分に含む節がないため、モデルには尋ねていません。文書にある語で尋ねてください。",
        "zh": "没有章节包含足够多的问题词语，因此没有询问模型。请用文档中的词语提问。",
    },
    "nearest": {"en": "Nearest:", "ja": "近い節:", "zh": "最接近的章节："},
    "nothing": {
        "en": "The documents do not have it in these words: no section has a word of the question.",
        "ja": "この言葉では文書にありません。質問の語を含む節がありません。",
        "zh": "文档中没有这些词语：没有任何章节包含问题中的词语。",
    },
}
_DOUBTS: dict[str, Translations] = {
    "number": {
        "en": "the number {token} stands in no cited section",
        "ja": "数値 {token} は引用した節にありません",
        "zh": "所引章节中没有数字 {token}",
    },
    "identifier": {
        "en": "{token} stands in no cited section",
        "ja": "{token} は引用した節にありません",
        "zh": "所引章节中没有 {token}",
    },
    "unit": {
        "en": "{token}: the cited section gives this number in another unit",
        "ja": "{token}: 引用した節ではこの数値の単位が異なります",
        "zh": "{token}：所引章节中该数字的单位不同",
    },
}


def as_text(done: TaskResult) -> str:
    """The answer as a person reads it, cleaned of control characters."""
    if done.result is None:
        return "\n".join(map(clean_line, done.error_lines)) + "\n"
    result = done.result
    language: Language = result["language"]
    if not result["found"]:
        return "\n".join(_not_found(done, result, language)) + "\n"
    lines = [clean(result["answer"]), ""]
    for citation in result["citations"]:
        lines.append(f"  {place(citation)}")
        lines += [
            f"    “{clean_line(quote['text'])}”"
            for quote in result["quotes"]
            if quote["section"] == citation["section"]
        ]
    lines += [
        f"  ! {_DOUBTS[flag['kind']][language].format(token=clean_line(flag['token']))}" for flag in result["flags"]
    ]
    return "\n".join(lines) + "\n"


def place(citation: dict[str, Any]) -> str:
    """Document, heading and page of a citation."""
    page = "" if citation["page"] is None else f", page {citation['page']}"
    return f"[{citation['section']}] {clean_line(citation['document'])}: {clean_line(citation['heading'])}{page}"


def _not_found(done: TaskResult, result: dict[str, Any], language: Language) -> list[str]:
    """Who found no answer and where, or why no model was asked; then where else to look."""
    texts = {name: text[language] for name, text in _TEXTS.items()}
    read, nearest = result["read"], result["nearest"]
    if done.status != "ok":
        return [*map(clean_line, done.error_lines), *_places(texts["nearest"], nearest)]
    if read:
        numbers = {each["section"] for each in read}
        others = [each for each in nearest if each["section"] not in numbers]
        missed = texts["missed"].format(model=clean_line(done.model or texts["model"]))
        return [missed, *_places(texts["read"], read), *_places(texts["others"], others)]
    if nearest:
        return [texts["no_match"], *_places(texts["nearest"], nearest)]
    return [texts["nothing"]]


def _places(title: str, citations: Iterable[dict[str, Any]]) -> list[str]:
    lines = [f"  {place(each)}" for each in citations]
    return ["", title, *lines] if lines else []
