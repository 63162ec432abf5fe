"""Finds sections by the words of a question: BM25 over headings and text, for any script.

Words that ask ("what", "how", です) carry nothing and are left out. Japanese and Chinese are compared by pairs of
characters, of which those of hiragana alone are grammar.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.documents.sections import HEADING_SEPARATOR, parts_of
from edgechat.storage.search_terms import UNSPACED_RUN, count_matches, pairs, pieces, quoted

if TYPE_CHECKING:
    from edgechat.documents.stored import StoredSection

HEADING_WEIGHT, TEXT_WEIGHT = 3.0, 1.0
"""Of a word in a heading against one in the text."""
_MAX_TERMS = 64
_COMMON = frozenset((
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing", "during", "each",
    "far", "for", "from", "further", "get", "had", "happen", "happens", "has", "have", "having", "he", "her", "here",
    "how", "i", "if", "in", "into", "is", "it", "its", "just", "let", "long", "many", "may", "me", "mean", "means",
    "more", "most", "much", "must", "my", "need", "needs", "no", "nor", "not", "of", "off", "often", "on", "once",
    "only", "or", "other", "our", "out", "over", "own", "please", "shall", "she", "should", "so", "some", "such",
    "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through",
    "to", "too", "under", "until", "up", "use", "used", "using", "very", "was", "way", "we", "were", "what", "when",
    "where", "which", "while", "who", "whom", "why", "will", "with", "would", "you", "your",
))  # fmt: skip
_HIRAGANA = re.compile("[\u3041-\u3096\u309d\u309e]+")
_KATAKANA = re.compile("(?<![\u30a1-\u30fa\u30fc])[\u30a1-\u30fa\u30fc]{3,6}(?![\u30a1-\u30fa\u30fc])")
"""A word of katakana; longer ones are compounds, which texts also write apart."""
_PARTICLES = re.compile("[をはがのにでとへもや]")
"""Pairs with one of them lie across two words."""


def question_terms(question: str) -> list[str]:
    """The terms of a question that can tell sections apart, each once, in order."""
    found: list[str] = []
    for piece in pieces(unicodedata.normalize("NFC", question)):
        if UNSPACED_RUN.match(piece):
            found += _terms_of_run(piece)
        else:
            bare = piece.strip("'\"`?!.,:;()[]{}<>")
            if bare and bare not in _COMMON and bare.replace("'s", "") not in _COMMON:
                found.append(bare)
    return list(dict.fromkeys(found))[:_MAX_TERMS]


def match_expression(terms: list[str]) -> str:
    """The query in FTS5's language: any of the terms."""
    return " OR ".join(map(phrase, terms))


def phrase(term: str) -> str:
    """One term in FTS5's language, as the index has it."""
    return quoted(" ".join(pairs(term)) if UNSPACED_RUN.match(term) and len(term) > 1 else term)


def best_part(question: str, section: StoredSection) -> tuple[str, str]:
    """Headings and text of that part of a found section which has most of the question's terms."""
    wanted = question_terms(question)

    def fitness(part: tuple[tuple[str, ...], str]) -> float:
        above, text = part
        own = HEADING_SEPARATOR.join(above[len(section.headings) :])
        return HEADING_WEIGHT * count_matches(own, wanted) + TEXT_WEIGHT * count_matches(f"{own} {text}", wanted)

    above, text = max(parts_of(section.headings, section.text), key=fitness)
    return HEADING_SEPARATOR.join(above), text


def rarity(n_sections: int, n_with_term: int) -> float:
    """How much a term tells: the idf of BM25. A term that stands in no section tells most."""
    return math.log(1 + (n_sections - n_with_term + 0.5) / (n_with_term + 0.5))


def _tells(pair: str) -> bool:
    return _HIRAGANA.fullmatch(pair) is None and _PARTICLES.search(pair) is None


def _terms_of_run(run: str) -> list[str]:
    """Words of katakana, and pairs of all other characters."""
    found: list[str] = []
    at = 0
    for word in (*_KATAKANA.finditer(run), None):
        part = run[at : word.start() + 1] if word else run[at:]
        found += [pair for pair in (pairs(part) if len(part) > 1 else []) if _tells(pair)]
        if word:
            # メモリ and メモリー are one word in two spellings.
            found.append(word[0].rstrip("ー"))
            at = word.end() - 1
    return found or [run]
