"""LaTeX as chat models write it, as a reader would write it in plain text."""

from __future__ import annotations

import pytest

from edgechat.tui.formulas import unicode_formula


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (r"\frac{a}{b} \le x^2", "a/b ≤ x²"),
        (r"\frac{-b \pm \sqrt{b^2-4ac}}{2a}", "(-b ± √(b²-4ac))/2a"),
        (r"\int_0^\infty e^{-x^2}\,dx", "∫₀^∞ e^(-x²) dx"),
        (r"R_{\text{load}} = 10\,\Omega", "R_(load) = 10 Ω"),
        (r"90^\circ \approx \frac{\pi}{2}", "90° ≈ π/2"),
        (r"\left( x_1 + x_2 \right)", "( x₁ + x₂ )"),
        (r"\unknown{x} \% \$", r"\unknown{x} % $"),
        (r"x^{", "x^{"),
        ("", ""),
    ],
)
def test_a_formula_reads_as_text(source: str, shown: str) -> None:
    assert unicode_formula(source) == shown
