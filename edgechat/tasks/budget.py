"""The former name of ``token_limit.py``, kept for installed plugins: the pages promised it to them."""

from __future__ import annotations

from edgechat.tasks.token_limit import answer_tokens

__all__ = ["answer_tokens"]
