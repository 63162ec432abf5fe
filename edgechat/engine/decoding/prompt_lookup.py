"""Prompt-lookup drafts: what an answer that repeats its input may say next, and how much of it is worth checking.

Pure: token ids, counts and seconds in, a draft out; knows neither llama.cpp nor requests. Two judgements stand between
a repetition and a draft. How often this answer really went on as an earlier place did is counted all the time, whether
or not anything is drafted, so finding out costs nothing. What a batch of n tokens costs is learnt from the steps
themselves: on a CPU eight tokens cost four times one, on a GPU hardly more than one.

The method is known as prompt lookup decoding, or n-gram speculation; a draft never changes an answer, since every token
is still chosen by the sequence's own sampler from the model's own logits.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_MATCH = 2
"""Tokens that must have been seen together before; one alone is a comma as a rule."""
LONGEST_MATCH = 32
"""Beyond this nothing more is learnt from a longer one."""
_CANDIDATES = 8
"""Earlier places that are compared, the latest first."""

_BUCKETS = (3, 4, 6, 9, 13, 17, 25)
"""Match lengths from which the next bucket of the acceptance statistics begins."""
_SUPPOSED = (0.40, 0.55, 0.65, 0.80, 0.88, 0.93, 0.95, 0.97)
"""How often a match of each bucket goes on, before this answer has shown it."""
_SUPPOSED_WEIGHT = 4.0
"""Observations that the supposition is worth."""
_MEMORY = 0.97
"""An answer turns from repeating to inventing and back: of an observation this much is left after each further one."""

WORTH_TRYING = 1.05
"""Expected tokens per second with a draft over those without, below which there is none."""

LENGTHS = (1, 2, 3, 5, 7, 11, 15)
"""Lengths of drafts: few, so that each batch size is timed often."""

_LARGE = 32
"""Prompt tokens in one step from which its speed is that of reading."""

_KEPT_STEPS = 7
"""Step times of one batch size of which the median counts: a preempted thread makes a single one ten times longer."""
_ENOUGH = 3
"""Step times of one size that speak for themselves."""
_FORGOTTEN_AFTER = 256
"""Steps after which an unused step time is no longer believed. A size that was too dear is so tried again, now and
then, at the price of one step."""


class Lookup:
    """Finds where the last tokens stood before. Amortised constant time for each token.

    Args:
        tokens: prompt, and what the answer already has.
    """

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        self._tokens: list[int] = []
        self._latest: dict[int, int] = {}
        # For each position the one before it where the same two tokens end; 4 bytes instead of a list for every pair.
        self._earlier = array("i")
        self._source = -1
        # Where it would go on if the token that was not expected stands for the one that was.
        self._beside = -1
        self.matched = 0
        """Tokens at the end that also stand before the place that is followed; 0 when none is."""
        for token in tokens:
            self._append(token)
        self._find()

    @property
    def expected(self) -> int:
        """The token that came next the last time, or -1."""
        return self._tokens[self._source] if self._source >= 0 else -1

    def take(self, token: int) -> None:
        """One more token of the answer."""
        is_followed = self.expected == token
        self._beside = (self._source if self._source >= 0 else self._beside) + 1
        self._append(token)
        if is_followed:
            self._source += 1
            self.matched = min(self.matched + 1, LONGEST_MATCH)
        else:
            self._find()

    def draft(self, count: int) -> list[int]:
        """What followed the place that is followed; a repetition that runs into itself goes round."""
        if self._source < 0:
            return []
        period = len(self._tokens) - self._source
        return [self._tokens[self._source + i % period] for i in range(count)]

    def _append(self, token: int) -> None:
        tokens = self._tokens
        tokens.append(token)
        if len(tokens) < LEAST_MATCH:
            self._earlier.append(-1)
            return
        pair = tokens[-2] << 32 | token
        end = len(tokens) - 1
        self._earlier.append(self._latest.get(pair, -1))
        self._latest[pair] = end

    def _find(self) -> None:
        """Follow the earlier place that shares the most with the end; of equals the one nearest to where we were."""
        best, longest, nearest = -1, 0, 0
        end = self._earlier[-1] if self._earlier else -1
        for _ in range(_CANDIDATES):
            if end < 0:
                break
            # Behind a changed word a text goes on beside it. Without a place to go by the latest counts.
            length, distance = self._common(end), abs(end + 1 - self._beside) if self._beside > 0 else 0
            if length > longest or (length == longest and distance < nearest):
                best, longest, nearest = end + 1, length, distance
            end = self._earlier[end]
        self._source, self.matched = best, longest

    def _common(self, end: int) -> int:
        """How many tokens up to ``end`` are also those at the very end."""
        tokens = self._tokens
        last = len(tokens) - 1
        length = LEAST_MATCH
        while length < LONGEST_MATCH and length <= end and tokens[end - length] == tokens[last - length]:
            length += 1
        return length


class Acceptance:
    """How often a match of some length went on as the earlier place did, in one answer."""

    def __init__(self) -> None:
        self._hits = [share * _SUPPOSED_WEIGHT for share in _SUPPOSED]
        self._tries = [_SUPPOSED_WEIGHT] * len(_SUPPOSED)

    def observe(self, matched: int, *, is_hit: bool) -> None:
        """A match of this length was, or was not, followed by what it promised."""
        bucket = _BUCKET_OF[matched]
        self._tries[bucket] = self._tries[bucket] * _MEMORY + 1
        self._hits[bucket] = self._hits[bucket] * _MEMORY + is_hit

    def chance(self, matched: int) -> float:
        """Probability that the next token is the promised one."""
        bucket = _BUCKET_OF[min(matched, LONGEST_MATCH)]
        return self._hits[bucket] / self._tries[bucket]


_BUCKET_OF = tuple(sum(length >= start for start in _BUCKETS) for length in range(LONGEST_MATCH + 1))


class StepCosts:
    """What a step of n tokens takes here, from steps that were timed. One for a context and a number of threads."""

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}
        self._used: dict[int, int] = {}
        self._step = 0
        self._pace: float | None = None

    def decoded(self, size: int, seconds: float) -> None:
        """A step that read no prompt: tokens in its batch, and its time up to the last sampled token."""
        self._step += 1
        if size not in self._seconds:
            self._seconds[size] = deque(maxlen=_KEPT_STEPS)
        self._seconds[size].append(seconds)
        self._used[size] = self._step

    def read(self, size: int, seconds: float) -> None:
        """A step that only read a prompt: the price of one more token in a large batch."""
        if size >= _LARGE:
            self._pace = seconds / size if self._pace is None else 0.7 * self._pace + 0.3 * seconds / size

    def seconds(self, size: int) -> float | None:
        """Expected time of a step, or None while nothing like it was timed."""
        fresh = [each for each, used in self._used.items() if self._step - used <= _FORGOTTEN_AFTER]
        anchor = min(fresh, default=size)
        if anchor >= size:
            return self._median(size) if size in fresh else None
        supposed = self._supposed(anchor, size)
        if size in fresh:
            return self._timed(size, supposed)
        others = [each for each in fresh if each != anchor]
        if others:
            # Supposed wrong for one size is supposed wrong for the next one.
            nearest = min(others, key=lambda each: abs(each - size))
            expected = self._supposed(anchor, nearest)
            supposed *= self._timed(nearest, expected) / expected
        return supposed

    def _median(self, size: int) -> float:
        return _median(self._seconds[size])

    def _timed(self, size: int, supposed: float) -> float:
        """The median; of few times together with what was supposed: a lucky step must not start a run of bad ones."""
        times = self._seconds[size]
        return self._median(size) if len(times) >= _ENOUGH else _median([*times, supposed])

    def _supposed(self, anchor: int, size: int) -> float:
        """What a step may take, given a smaller one.

        Each further token at the pace of reading; and once more the time of a single one, for which there are kernels
        that read the weights as fast as memory gives them, while those for a few tokens do neither this nor that well.

        2 AVX2 cores, in steps of one token: an 0.5B Q4_K_M takes 2.4, 3.2, 4.4 and 5.8 for 2, 4, 8 and 16 tokens, and
        this says 2.3, 3.0, 4.2 and 6.8; SmolLM2-135M Q4_1 takes 2.1, 3.0, 4.3 and 8.2, and this says 2.5, 3.5, 5.4 and
        9.2.
        """
        base = self._median(anchor)
        each = base / anchor
        pace = each if self._pace is None else min(self._pace, each)
        return base + (base if anchor == 1 else 0.0) + (size - anchor) * pace


def _median(times: Sequence[float]) -> float:
    # The library's own imports fractions, decimals and random numbers: 4 ms of every engine's start.
    ordered, half = sorted(times), len(times) // 2
    return (ordered[half] + ordered[~half]) / 2


def best_length(
    acceptance: Acceptance, matched: int, limit: int, costs: StepCosts, *, size: int = 1, answers: int = 1
) -> int:
    """The draft that yields the most tokens per second of the whole batch; 0 where none pays.

    Args:
        acceptance: the answer's own statistics.
        matched: length of the match that a draft would continue.
        limit: longest draft that memory, reservation and answer allow.
        costs: of this context.
        size: tokens in the batch without the draft.
        answers: new tokens that they yield, one for each answer.
    """
    plain = costs.seconds(size)
    if plain is None or matched < LEAST_MATCH:
        return 0
    best, gain = 0, WORTH_TRYING
    chance, expected, length = 1.0, float(answers), 0
    for end in LENGTHS:
        if end > limit:
            break
        while length < end:
            chance *= acceptance.chance(matched + length)
            expected += chance
            length += 1
        cost = costs.seconds(size + end)
        if cost is not None and expected / answers * plain / cost > gain:
            best, gain = end, expected / answers * plain / cost
    return best


class Drafts:
    """The drafts of one answer.

    Args:
        tokens: prompt, and what the answer already has.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._lookup = Lookup(tokens)
        self._acceptance = Acceptance()

    def take(self, token: int, *, is_forced: bool = False) -> None:
        """One more token of the answer; forced ones teach nothing about chance."""
        if self._lookup.matched and not is_forced:
            self._acceptance.observe(self._lookup.matched, is_hit=self._lookup.expected == token)
        self._lookup.take(token)

    def propose(self, limit: int, costs: StepCosts, size: int, answers: int) -> list[int]:
        """Tokens to check in the next step, at most ``limit`` of them, none where that would not pay.

        The other arguments are those of :func:`best_length`.
        """
        matched = self._lookup.matched
        if limit < LENGTHS[0] or not matched:
            return []
        length = best_length(self._acceptance, matched, limit, costs, size=size, answers=answers)
        return self._lookup.draft(length)
