"""One admitted request: what is decoded, what is pending, and what was sent to its client."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from edgechat.engine.decoding.logprobs import forced_entry
from edgechat.engine.protocol.events import Done, Event, Logprobs, Text
from edgechat.engine.text.detokenizer import Detokenizer, TextPiece
from edgechat.errors import AnswerError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgechat.engine.decoding.prompt_lookup import Drafter
    from edgechat.engine.native.sampler import Sampler
    from edgechat.engine.native.vision import View
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.text.constraint import Constraint

FLUSH_EVERY_S = 0.08
"""Text is sent at most this often: each message wakes the client, which takes a core from the decoding threads."""


class Reader(Protocol):
    """Where the events of a request are sent."""

    @property
    def is_open(self) -> bool:
        """False once the client has disconnected."""

    @property
    def keeps(self) -> bool:
        """Whether the client stays connected between requests: a chat window, or a server with clients of its own."""

    def send(self, event: Event, request_id: int) -> None:
        """Queue an event; never blocks."""

    def send_frame(self, frame: Frame) -> None:
        """Queue a frame that is no event, such as an error; never blocks."""


@dataclass(slots=True)
class Timing:
    """Moments of one request on the monotonic clock, in seconds."""

    arrived: float = field(default_factory=time.monotonic)
    prefill_began: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0


@dataclass(slots=True, eq=False)
class Sequence:
    """A request that has been admitted. ``slot`` is its llama.cpp sequence id."""

    request: Request
    request_id: int
    reader: Reader
    slot: int
    prompt: tuple[int, ...]
    cells: int
    """KV cells reserved: prompt and the longest answer."""
    max_tokens: int
    sampler: Sampler
    seed: int
    detokenizer: Detokenizer
    cached: int
    """Prompt tokens that were restored instead of computed."""
    n_past: int
    """Positions filled, all of them from the front of ``prompt + generated``."""
    deadline: float | None
    ends_at_context: bool
    """True when the longest answer is bounded by the context rather than by the caller."""
    constraint: Constraint | None = None
    views: Mapping[int, View] = field(default_factory=dict)
    """Pictures in the prompt, by the index of their first token: prefilled in steps of their own."""
    n_static: int = 0
    """Leading prompt tokens to save on disk once they are computed; 0 when there are none, or they are on disk."""
    stops: tuple[int, ...] = ()
    """Places in the prompt where a step of its prefill ends: the state there is saved, or copied."""
    n_shared: int = 0
    """Leading prompt tokens that other questions under the same instructions share."""
    generated: list[int] = field(default_factory=list)
    n_forced: int = 0
    """Generated tokens that were the only ones possible, and so were not sampled."""
    timing: Timing = field(default_factory=Timing)
    logits_at: int = -1
    """Batch index of this step's first row of logits, or -1."""
    drafter: Drafter | None = None
    """Proposes draft tokens; None where speculation is impossible or not wanted."""
    draft: list[int] = field(default_factory=list)
    """Draft tokens behind the pending ones in this step's batch, each with a row of logits."""
    n_drafted: int = 0
    n_accepted: int = 0
    unsent_logprobs: list[dict[str, Any]] = field(default_factory=list)
    """Entries of tokens that were not sent yet, where the request asks for them."""
    _unsent: list[TextPiece] = field(default_factory=list)
    _unsent_tokens: list[int] = field(default_factory=list)
    _flushed: float = 0.0

    @property
    def pending(self) -> int:
        """Tokens known but not yet in the cache."""
        return len(self.prompt) + len(self.generated) - self.n_past

    @property
    def extra_cells(self) -> int:
        """KV cells that the prefilled pictures fill beyond one for each position."""
        return sum(view.beyond for start, view in self.views.items() if start < self.n_past)

    @property
    def pending_text(self) -> int:
        """Pending tokens before the next picture."""
        pictures = [start for start in self.views if start >= self.n_past]
        return min(pictures) - self.n_past if pictures else self.pending

    @property
    def n_new(self) -> int:
        """Tokens generated here, without those that the request resumes with."""
        return len(self.generated) - len(self.request.resume)

    @property
    def decode_s(self) -> float:
        """Seconds between the first and the last token."""
        return self.timing.last_token - self.timing.first_token

    @property
    def decode_tps(self) -> float:
        """Tokens per second; n tokens are n - 1 decode steps: the first one's logits came from the prefill."""
        return (self.n_new - 1) / self.decode_s if self.n_new > 1 and self.decode_s > 0 else 0.0

    def tokens(self, start: int, end: int) -> list[int]:
        """Known tokens of a range of positions."""
        n = len(self.prompt)
        if end <= n:
            return list(self.prompt[start:end])
        return [*self.prompt[start:n], *self.generated[max(start - n, 0) : end - n]]

    def n_accepted_of_draft(self, start: int) -> int:
        """How many leading draft tokens equal the answer's tokens from index ``start`` of ``generated``."""
        new = self.generated[start : start + len(self.draft)]
        return next((i for i, (a, b) in enumerate(zip(new, self.draft, strict=False)) if a != b), len(new))

    def accept(self, token: int, piece: bytes, *, is_end: bool, now: float) -> str | None:
        """Append one sampled token, and send text when it is due.

        Returns:
            The finish reason when this token ends the answer, else None.

        Raises:
            AnswerError: the answer does not satisfy its constraint, or the constraint failed.
        """
        timing = self.timing
        if not timing.first_token:
            timing.first_token = now
        timing.last_token = now
        was_thought = self.detokenizer.is_in_thought
        if is_end:
            if self.constraint is not None and not was_thought:
                self.constraint.end()
            return "stop"
        self._add(token, piece)
        if self.constraint is not None and not was_thought:
            self.constraint.advance(token)
            if self.constraint.is_complete:
                return "stop"
        if self.detokenizer.is_stopped:
            return "stop"
        if len(self.generated) >= self.max_tokens:
            return "length"
        if now - self._flushed >= FLUSH_EVERY_S:
            self.flush(now)
        return None

    def add_forced(self, piece_of: Callable[[int], bytes]) -> str | None:
        """Append the tokens that are the only ones the constraint allows; they are decoded in the next step.

        Returns:
            The finish reason when they complete the answer or reach its longest length, else None.

        Raises:
            AnswerError: the constraint failed.
        """
        if self.constraint is None or self.detokenizer.is_in_thought:
            return None
        forced = self.constraint.forced()
        allowed = forced[: self.max_tokens - len(self.generated)]
        for token in allowed:
            self._add(token, piece_of(token), is_forced=True)
        if self.request.logprobs is not None:
            self.unsent_logprobs += [forced_entry(piece_of(token)) for token in allowed]
        self.n_forced += len(allowed)
        self.sampler.accept((), allowed)
        if self.constraint.is_complete and len(allowed) == len(forced):
            return "stop"
        return "length" if len(self.generated) >= self.max_tokens else None

    def _add(self, token: int, piece: bytes, *, is_forced: bool = False) -> None:
        self.generated.append(token)
        if self.drafter is not None:
            self.drafter.add(token, is_forced=is_forced)
        self._unsent_tokens.append(token)
        self._unsent += self.detokenizer.feed(piece)

    def flush(self, now: float) -> None:
        """Send the text and token ids that were not sent yet."""
        self._flushed = now
        if not self._unsent_tokens and not self._unsent:
            return
        if self.unsent_logprobs:
            self.reader.send(Logprobs(tuple(self.unsent_logprobs)), self.request_id)
            self.unsent_logprobs = []
        # Token ids travel with the text they belong to, or alone while their text is still held back.
        texts: list[TextPiece] = []
        for piece in self._unsent:
            if texts and texts[-1].is_thought == piece.is_thought:
                texts[-1] = TextPiece(texts[-1].text + piece.text, piece.is_thought)
            else:
                texts.append(piece)
        tokens = tuple(self._unsent_tokens)
        last = len(texts) - 1
        for i, piece in enumerate(texts or [TextPiece("", is_thought=False)]):
            # The ids go with the last text: a client that got only the first is sent all of it again, but loses none.
            self.reader.send(Text(piece.text, tokens if i == max(last, 0) else (), piece.is_thought), self.request_id)
        self._unsent, self._unsent_tokens = [], []

    def finish(self, reason: str, *, now: float, peak_rss: int, load_s: float) -> None:
        """Send the remaining text and the ``done`` event."""
        self._unsent += self.detokenizer.finish()
        self.flush(now)
        timing = self.timing
        prefilled = len(self.prompt) - self.cached
        prefill_s = timing.first_token - timing.prefill_began if timing.first_token else 0.0
        self.reader.send(
            Done(
                finish_reason=reason,
                usage={
                    "prompt_tokens": len(self.prompt),
                    "cached_tokens": self.cached,
                    "completion_tokens": len(self.generated),
                    "forced_tokens": self.n_forced,
                    "drafted_tokens": self.n_drafted,
                    "accepted_tokens": self.n_accepted,
                },
                timing={
                    "queued_s": max(timing.prefill_began - timing.arrived, 0.0) if timing.prefill_began else 0.0,
                    "prefill_s": prefill_s,
                    "prefill_tps": prefilled / prefill_s if prefill_s > 0 else 0.0,
                    "decode_s": self.decode_s,
                    "decode_tps": self.decode_tps,
                },
                seed=self.seed,
                is_context_full=reason == "length" and self.ends_at_context,
                peak_rss_bytes=peak_rss,
                load_s=load_s,
            ),
            self.request_id,
        )


def replay(
    detokenizer: Detokenizer, constraint: Constraint | None, tokens: tuple[int, ...], pieces: list[bytes]
) -> None:
    """Advance an answer by tokens that its client already has; nothing is sent again.

    Raises:
        InvalidInputError: they do not satisfy the constraint.
    """
    for token, piece in zip(tokens, pieces, strict=True):
        was_thought = detokenizer.is_in_thought
        detokenizer.feed(piece)
        if constraint is not None and not was_thought:
            try:
                constraint.advance(token)
            except AnswerError as error:
                raise InvalidInputError(
                    f"The answer that the request resumes does not satisfy its constraint: {error.message}",
                    hint="Ask again without `resume`.",
                ) from error
