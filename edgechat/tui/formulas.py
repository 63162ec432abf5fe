r"""Simple LaTeX formulas as Unicode text: ``\frac{a}{b} \le x^2`` is ``a/b ≤ x²``.

Covers what chat models write in explanations. An unknown command stays as it is written, so that nothing is hidden.
"""

# ruff: noqa: RUF001 - symbols are what this module is about

from __future__ import annotations

import re
from unicodedata import lookup

_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
_GREEK_NAMES = {"lambda": "lamda"}
"""Names that Unicode spells otherwise."""
_SYMBOLS = {
    **{name: lookup(f"GREEK SMALL LETTER {_GREEK_NAMES.get(name, name)}") for name in _GREEK},
    **{name.capitalize(): lookup(f"GREEK CAPITAL LETTER {_GREEK_NAMES.get(name, name)}") for name in _GREEK},
    "varepsilon": "ε",
    "varphi": "φ",
    "hbar": "ħ",
    "ell": "ℓ",
    "infty": "∞",
    "partial": "∂",
    "nabla": "∇",
    "times": "×",
    "cdot": "·",
    "div": "÷",
    "pm": "±",
    "mp": "∓",
    "ast": "*",
    "circ": "°",
    "degree": "°",
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "ne": "≠",
    "neq": "≠",
    "approx": "≈",
    "equiv": "≡",
    "sim": "~",
    "ll": "≪",
    "gg": "≫",
    "propto": "∝",
    "in": "∈",
    "notin": "∉",
    "subset": "⊂",
    "cup": "∪",
    "cap": "∩",
    "to": "→",
    "rightarrow": "→",
    "leftarrow": "←",
    "Rightarrow": "⇒",
    "Leftrightarrow": "⇔",
    "implies": "⇒",
    "sum": "∑",
    "prod": "∏",
    "int": "∫",
    "forall": "∀",
    "exists": "∃",
    "angle": "∠",
    "perp": "⊥",
    "parallel": "∥",
    "ldots": "…",
    "dots": "…",
    "cdots": "⋯",
    "quad": "  ",
    "qquad": "    ",
    "land": "∧",
    "lor": "∨",
    "neg": "¬",
    **{name: name for name in ("sin", "cos", "tan", "log", "ln", "exp", "lim", "max", "min", "arcsin", "arctan")},
    **dict.fromkeys(("left", "right", "big", "Big", "displaystyle", "limits"), ""),
}
_SIGNS = {",": " ", ";": " ", ":": " ", "!": "", " ": " ", "\\": "\n", "%": "%", "$": "$", "&": "&", "_": "_", "#": "#"}
_SIGNS |= {"{": "{", "}": "}"}
_UP = dict(zip("0123456789+-=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", strict=True))
_DOWN = dict(zip("0123456789+-=()aeoxhklmnpstij", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₒₓₕₖₗₘₙₚₛₜᵢⱼ", strict=True))
_GROUP = r"\{((?:[^{}])*)\}"
_FRACTION = re.compile(rf"\\[dt]?frac\s*{_GROUP}\s*{_GROUP}")
_ROOT = re.compile(rf"\\sqrt\s*{_GROUP}")
_PLAIN = re.compile(rf"\\(?:text|mathrm|mathbf|mathit|operatorname|textbf|boxed|overline|vec)\s*{_GROUP}")
_SCRIPT = re.compile(rf"([\^_])(?:{_GROUP}|(\\[A-Za-z]+|[^\s{{}}\\]))")
_COMMAND = re.compile(r"\\([A-Za-z]+)|\\([^A-Za-z])")
_RAISED, _LOWERED = "\ue000", "\ue001"
"""Stand for the marks of scripts that are resolved already; private characters of Unicode."""
_DEEPEST = 12
"""Groups in groups that are resolved; each pass resolves the innermost ones."""


def unicode_formula(source: str) -> str:
    """A formula as text; line breaks stay."""
    text = source.strip()
    for _ in range(_DEEPEST):
        before = text
        text = _PLAIN.sub(r"\1", text)
        text = _ROOT.sub(lambda found: f"√{_bracketed(found[1])}", text)
        text = _FRACTION.sub(lambda found: f"{_bracketed(found[1])}/{_bracketed(found[2])}", text)
        text = _SCRIPT.sub(_script, text)
        if text == before:
            break
    text = _COMMAND.sub(_symbol, text).replace(_RAISED, "^").replace(_LOWERED, "_")
    return text.strip()


def _bracketed(part: str) -> str:
    """A part of a fraction or root; in brackets unless it is one number, name or symbol."""
    inner = part.strip()
    return inner if re.fullmatch(r"\\?\w+|\w*[⁰¹²³⁴-⁹₀-₉]*", inner) else f"({inner})"


def _script(found: re.Match[str]) -> str:
    """A superscript or subscript: in small letters where Unicode has them, else with its mark."""
    mark, inner = found[1], (found[2] if found[2] is not None else found[3]).strip()
    if mark == "^" and inner in {"\\circ", "\\degree"}:
        return "°"
    inner = _COMMAND.sub(_symbol, inner)
    small = _UP if mark == "^" else _DOWN
    if inner and all(letter in small for letter in inner):
        return "".join(small[letter] for letter in inner)
    # Another mark than LaTeX's, so that it is not taken for a script again.
    shown = inner if len(inner) == 1 else f"({inner})"
    return (_RAISED if mark == "^" else _LOWERED) + shown


def _symbol(found: re.Match[str]) -> str:
    if found[2] is not None:
        return _SIGNS.get(found[2], found[2])
    return _SYMBOLS.get(found[1], found[0])
