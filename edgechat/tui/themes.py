"""The colours of the themes: dark, light, high contrast. With NO_COLOR Textual draws them in grey."""

from __future__ import annotations

from textual.theme import Theme

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
    accent="#9a5b00",
    warning="#8a5a00",
    error="#a8261b",
    success="#27682a",
    foreground="#1d2026",
    background="#fbfaf7",
    surface="#f1efe9",
    panel="#e4e1d8",
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
DEFAULT = DARK.name
