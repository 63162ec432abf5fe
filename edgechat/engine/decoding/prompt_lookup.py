"""Prompt-lookup drafts: tokens that an answer which repeats its input may say next, and how many are worth checking.

Pure: token ids, counts and seconds in, a draft out. Two measurements decide whether a repetition is drafted. How often
this answer continued as an earlier place did is counted all the time, with or without drafts, so it costs nothing. The
time of a batch of n tokens is learned from the steps themselves: on a CPU eight tokens cost four times one, on a GPU
hardly more than one.

The method is known as prompt lookup decoding, or n-gram speculation. A draft never changes an answer: every token is
still chosen by the sequence's own sampler from the model's own logits.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_MATCH = 2
"""Tokens that must match; a single one is a comma as a rule."""
LONGEST_MATCH = 32
"""Longer matches predict no better."""
_CANDIDATES = 8
"""Earlier places that are compared, latest first."""

_BUCKETS = (3, 4, 6, 9, 13, 17, 25)
"""Match lengths from which the next bucket of the acceptance statistics begins."""
_ASSUMED = (0.40, 0.55, 0.65, 0.80, 0.88, 0.93, 0.95, 0.97)
"""How often a match of each bucket continues, assumed until this answer has shown it."""
_ASSUMED_WEIGHT = 4.0
"""Observations that the assumption counts as."""
_MEMORY = 0.97
"""Weight that an observation keeps after each further one: an answer turns from repeating to inventing and back."""

WORTH_TRYING = 1.05
"""Least expected tokens per second with a draft, over those without."""

LENGTHS = (1, 2, 3, 5, 7, 11, 15)
"""Lengths of drafts: few, so that each batch size is timed often."""

_LARGE = 32
"""Prompt tokens in one step from which its speed is that of prefill."""

_KEPT_STEPS = 7
"""Step times kept for a batch size. Their median counts: a preempted thread makes a single step ten times longer."""
_ENOUGH = 3
"""Step times from which their median is believed alone."""
_FORGOTTEN_AFTER = 256
"""Steps after which an unused step time is ignored. So a size that was too slow is tried again now and then, at the
price of one step."""


class PromptLookup:
    """Finds earlier places of the last tokens, in amortised constant time for each token."""

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        self._tokens: list[int] = []
        self._latest: dict[int, int] = {}
        # For each position the previous end of the same two tokens; 4 bytes instead of a list for every pair.
        self._earlier = array("i")
        self._source = -1
        # Where the followed place would go on if the last, unexpected token had replaced the expected one.
        self._beside = -1
        self.matched = 0
        """Tokens at the end that also stand before the followed place; 0 when there is none."""
        for token in tokens:
            self._append(token)
        self._find()

    @property
    def expected(self) -> int:
        """The token at the followed place, or -1."""
        return self._tokens[self._source] if self._source >= 0 else -1

    def add(self, token: int) -> None:
        """Append one token of the answer."""
        is_followed = self.expected == token
        self._beside = (self._source if self._source >= 0 else self._beside) + 1
        self._append(token)
        if is_followed:
            self._source += 1
            self.matched = min(self.matched + 1, LONGEST_MATCH)
        else:
            self._find()

    def draft(self, count: int) -> list[int]:
        """The next ``count`` tokens from the followed place; where it reaches the end, the repetition starts over."""
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
        """Follow the earlier place that shares most tokens with the end; of equals the one nearest the last place."""
        best, longest, nearest = -1, 0, 0
        end = self._earlier[-1] if self._earlier else -1
        for _ in range(_CANDIDATES):
            if end < 0:
                break
            # Behind a changed word a text often continues right after it. Without a last place, the latest one counts.
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
    """How often a match of some length continued as the earlier place did, in one answer."""

    def __init__(self) -> None:
        self._hits = [share * _ASSUMED_WEIGHT for share in _ASSUMED]
        self._tries = [_ASSUMED_WEIGHT] * len(_ASSUMED)

    def observe(self, matched: int, *, is_hit: bool) -> None:
        """Count whether a match of this length was followed by the expected token."""
        bucket = _BUCKET_OF[matched]
        self._tries[bucket] = self._tries[bucket] * _MEMORY + 1
        self._hits[bucket] = self._hits[bucket] * _MEMORY + is_hit

    def chance(self, matched: int) -> float:
        """Probability that the next token is the expected one."""
        bucket = _BUCKET_OF[min(matched, LONGEST_MATCH)]
        return self._hits[bucket] / self._tries[bucket]


_BUCKET_OF = tuple(sum(length >= start for start in _BUCKETS) for length in range(LONGEST_MATCH + 1))


class StepCosts:
    """Expected time of a step of n tokens, from timed steps. One for each context and number of threads."""

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}
        self._used: dict[int, int] = {}
        self._step = 0
        self._per_token: float | None = None

    def add_decode(self, size: int, seconds: float) -> None:
        """Record a step without prefill: tokens in its batch, and its time up to the last sampled token."""
        self._step += 1
        if size not in self._seconds:
            self._seconds[size] = deque(maxlen=_KEPT_STEPS)
        self._seconds[size].append(seconds)
        self._used[size] = self._step

    def add_prefill(self, size: int, seconds: float) -> None:
        """Record a step that only prefilled: it shows the price of one more token in a large batch."""
        if size >= _LARGE:
            self._per_token = (
                seconds / size if self._per_token is None else 0.7 * self._per_token + 0.3 * seconds / size
            )

    def seconds(self, size: int) -> float | None:
        """Expected time of a step, or None while no similar one was timed."""
        fresh = [each for each, used in self._used.items() if self._step - used <= _FORGOTTEN_AFTER]
        anchor = min(fresh, default=size)
        if anchor >= size:
            return self._median(size) if size in fresh else None
        estimate = self._estimate(anchor, size)
        if size in fresh:
            return self._timed(size, estimate)
        others = [each for each in fresh if each != anchor]
        if others:
            # An estimate that is wrong for one size is wrong for the next one.
            nearest = min(others, key=lambda each: abs(each - size))
            expected = self._estimate(anchor, nearest)
            estimate *= self._timed(nearest, expected) / expected
        return estimate

    def _median(self, size: int) -> float:
        return _median(self._seconds[size])

    def _timed(self, size: int, estimate: float) -> float:
        """The median; of few times together with the estimate: a lucky step must not start a run of bad ones."""
        times = self._seconds[size]
        return self._median(size) if len(times) >= _ENOUGH else _median([*times, estimate])

    def _estimate(self, anchor: int, size: int) -> float:
        """Estimate the time of a step from that of a smaller one.

        Each further token costs what it costs in prefill. From one token to several the time of a single one is added
        once more: kernels for one token read the weights as fast as memory allows, those for a few tokens do not.

        2 AVX2 cores, in steps of one token: an 0.5B Q4_K_M takes 2.4, 3.2, 4.4 and 5.8 for 2, 4, 8 and 16 tokens, and
        the estimate is 2.3, 3.0, 4.2 and 6.8; SmolLM2-135M Q4_1 takes 2.1, 3.0, 4.3 and 8.2, the estimate is 2.5, 3.5,
        5.4 and 9.2.
        """
        base = self._median(anchor)
        each = base / anchor
        per_token = each if self._per_token is None else min(self._per_token, each)
        return base + (base if anchor == 1 else 0.0) + (size - anchor) * per_token


def _median(times: Sequence[float]) -> float:
    # Importing the library's own takes 4 ms of every engine's start.
    ordered, half = sorted(times), len(times) // 2
    return (ordered[half] + ordered[~half]) / 2


def best_length(
    acceptance: Acceptance,
    matched: int,
    limit: int,
    costs: StepCosts,
    *,
    size: int = 1,
    answers: int = 1,
    copy_s: float | None = None,
) -> int:
    """Length of the draft that yields the most tokens per second of the whole batch; 0 where none pays.

    Args:
        acceptance: the answer's own statistics.
        matched: length of the match that a draft would continue.
        limit: longest draft that batch, reservation and answer allow.
        costs: of this context.
        size: tokens in the batch without the draft.
        answers: new tokens that they yield, one for each answer.
        copy_s: seconds to copy the state before a draft, where a draft that is wrong anywhere is taken back whole and
            its right tokens are decoded again; None where the wrong ones alone are removed.
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
        if cost is not None and copy_s is not None:
            again = costs.seconds(size + max(round(expected) - answers, 0))
            cost += copy_s + (1 - chance) * (copy_s + max((again or cost) - plain, 0.0))
        if cost is not None and expected / answers * plain / cost > gain:
            best, gain = end, expected / answers * plain / cost
    return best


class Drafter:
    """Proposes the drafts of one answer."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._lookup = PromptLookup(tokens)
        self._acceptance = Acceptance()

    def add(self, token: int, *, is_forced: bool = False) -> None:
        """Append one token of the answer; forced ones are not counted in the statistics."""
        if self._lookup.matched and not is_forced:
            self._acceptance.observe(self._lookup.matched, is_hit=self._lookup.expected == token)
        self._lookup.add(token)

    def propose(self, limit: int, costs: StepCosts, size: int, answers: int, copy_s: float | None = None) -> list[int]:
        """Draft tokens for the next step, at most ``limit``; none where that would not pay.

        The other arguments are those of :func:`best_length`.
        """
        matched = self._lookup.matched
        if limit < LENGTHS[0] or not matched:
            return []
        length = best_length(self._acceptance, matched, limit, costs, size=size, answers=answers, copy_s=copy_s)
        return self._lookup.draft(length)
