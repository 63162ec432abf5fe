"""Rules where cells can be cut, as models of other kinds than the starter have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache.prefix import AnyToken

if TYPE_CHECKING:
    from edgechat.engine.kv_cache.prefix import CutRule, Tokens

ANY: CutRule = AnyToken()


@dataclass(frozen=True)
class AtPlaces:
    """Only at these places, as where checkpoints were taken; the last one is before the answer."""

    places: tuple[int, ...] = ()

    def cut_at(self, held: Tokens, count: int, slot: int = -1) -> int:
        return count if count == len(held) else max((each for each in self.places if each <= count), default=0)

    def answer_start(self, held: Tokens) -> int:
        return max(self.places, default=0)


WHOLE: CutRule = AtPlaces()
