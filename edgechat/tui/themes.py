"""The colours of the themes: dark, light, high contrast. With NO_COLOR Textual draws them in grey.

A terminal without COLORTERM gets the nearest of 256 or 16 colours. Of 256, the nearest one to a light colour with a
slight hue is pale yellow, so the areas of the light theme are grey. Of 16 there is none for most mixtures, so that each
theme has a second form whose colours are among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Sequence

DARK = Theme(
    name="edgechat-dark",
    primary="#6ca6d9",
    secondary="#8f9bd0",
    accent="#e0a458",
    warning="#e0b050",
    error="#e07a6a",
    success="#7fb77e",
    foreground="#dcdfe4",
    background="#16181d",
    surface="#1d2026",
    panel="#262a32",
    dark=True,
)
LIGHT = Theme(
    name="edgechat-light",
    primary="#1f5f99",
    secondary="#4a54a0",
    accent="#875300",
    warning="#875300",
    error="#a8261b",
    success="#27682a",
    foreground="#1d2026",
    background="#fcfcfc",
    surface="#f4f4f4",
    panel="#ececec",
    dark=False,
)
CONTRAST = Theme(
    name="edgechat-contrast",
    primary="#00ffff",
    secondary="#ffffff",
    accent="#ffff00",
    warning="#ffff00",
    error="#ff8080",
    success="#00ff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    dark=True,
    text_alpha=1.0,
    variables={"text-muted": "#ffffff", "footer-key-foreground": "#ffff00"},
)
THEMES = (DARK, LIGHT, CONTRAST)


def _of_sixteen(theme: Theme) -> Theme:
    """The form of a theme for 16 colours, each with a contrast of 4.5 or more in xterm and on the Linux console.

    The console shows a white background as light grey, on which red has too little.
    """
    black, white, grey = "#000000", "#ffffff", "#aaaaaa"
    text, area = (white, black) if theme.dark else (black, white)
    first, second = ("#55ffff", "#ffff55") if theme.dark else ("#0000aa", "#0000aa")
    muted = grey if theme.dark else black
    return Theme(
        name=theme.name,
        primary=first,
        secondary=text,
        accent=second,
        warning=second,
        error=second,
        success=first,
        foreground=text,
        background=area,
        surface=area,
        panel=area,
        dark=theme.dark,
        text_alpha=1.0,
        variables={
            "text-muted": muted,
            "text-disabled": muted,
            "footer-key-foreground": second,
            "block-cursor-foreground": area,
            "block-cursor-background": first,
            **{f"{name}-muted": area for name in ("primary", "secondary", "accent", "warning", "error", "success")},
            "text-primary": first,
            "text-accent": second,
            "text-warning": second,
            "text-error": second,
            "text-success": first,
        },
    )


def role_colours(theme: Theme) -> dict[str, str]:
    """The colours of the text of questions and answers; ``variables`` of a theme may say others."""
    text = theme.foreground or theme.to_color_system().generate()["foreground"]
    return {"question-text": text, "answer-text": text}


def themes_for(color_system: str | None) -> Sequence[Theme]:
    """The themes for a terminal with Rich's ``color_system``: ``standard`` has 16 colours."""
    return tuple(map(_of_sixteen, THEMES)) if color_system == "standard" else THEMES


DEFAULT = DARK.name
