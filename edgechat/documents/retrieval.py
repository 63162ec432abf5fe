"""Finds sections by the words of a question: BM25 over headings and text, for any script.

Words that ask ("what", "how", です) carry nothing and are left out. Japanese and Chinese are compared by pairs of
characters, of which those of hiragana alone are grammar.
"""

from __future__ import annotations

import re
import unicodedata

from edgechat.storage.search_terms import UNSPACED_RUN, fold, pairs, pieces, quoted

HEADING_WEIGHT, TEXT_WEIGHT = 3.0, 1.0
"""Of a word in a heading against one in the text."""
_MAX_TERMS = 64
_COMMON = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "during",
        "each",
        "for",
        "from",
        "further",
        "get",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "let",
        "many",
        "may",
        "me",
        "more",
        "most",
        "much",
        "must",
        "my",
        "no",
        "nor",
        "not",
        "of",
        "off",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "please",
        "shall",
        "she",
        "should",
        "so",
        "some",
        "such",
        "tell",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "use",
        "used",
        "using",
        "very",
        "was",
        "way",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "mean",
        "means",
        "need",
        "needs",
        "happen",
        "happens",
    ]
)
_HIRAGANA = re.compile("[\u3041-\u3096\u309d\u309e]+")
_PARTICLES = re.compile("[\u3041-\u3096]")


def question_terms(question: str) -> list[str]:
    """The terms of a question that can tell sections apart, each once, in order."""
    found: list[str] = []
    for piece in pieces(unicodedata.normalize("NFC", question)):
        if UNSPACED_RUN.match(piece):
            found += [pair for pair in _terms_of_run(piece) if _HIRAGANA.fullmatch(pair) is None]
        else:
            bare = piece.strip("'\"`?!.,:;()[]{}<>")
            if bare and bare not in _COMMON and bare.replace("'s", "") not in _COMMON:
                found.append(bare)
    return list(dict.fromkeys(found))[:_MAX_TERMS]


def match_expression(terms: list[str]) -> str:
    """The query in FTS5's language: any of the terms."""
    return " OR ".join(map(quoted, terms))


def coverage(terms: list[str], text: str) -> float:
    """The share of ``terms`` that occur in a text, from 0 to 1; stems of words are compared roughly."""
    if not terms:
        return 0.0
    folded = fold(text)
    return sum(_stem(term) in folded for term in terms) / len(terms)


def _terms_of_run(run: str) -> list[str]:
    return pairs(run) if len(run) > 1 else [run]


def _stem(term: str) -> str:
    """A word without its English ending, so that ``configuring`` counts where ``configure`` stands."""
    if not term.isascii() or len(term) < 5:
        return term
    for ending in ("ing", "ies", "ed", "es", "s", "e", "y"):
        if term.endswith(ending) and len(term) - len(ending) >= 3:
            return term[: -len(ending)]
    return term
