"""What a model said is found again in its own tokens, whatever a tokenizer makes of its text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.kv_cache.prefix import common_prefix, retokenized

PIECES = {
    0: b"<end>",
    1: b"a",
    2: b"b",
    3: b"ab",
    4: b"ba",
    5: b"aba",
    6: b"c",
    7: b"\xc3",
    8: b"\xa9",
    9: b"\xc3\xa9",
    10: b"",
}
END, PICTURE = 0, -1


def respell(prompt: tuple[int, ...], held: tuple[int, ...]) -> tuple[int, ...]:
    return retokenized(prompt, held, PIECES.__getitem__, lambda token: token == END)


def text(tokens: tuple[int, ...]) -> bytes:
    return b"".join(b"|%d|" % token if token <= 0 else PIECES[token] for token in tokens)


def test_an_answer_in_other_pieces_is_taken_as_it_was_said() -> None:
    held = (6, 3, 1, 6, 7, 8)
    assert respell((6, 5, 6, 9, END, 6), held) == (*held, END, 6)


def test_only_what_is_the_same_up_to_a_common_end_of_tokens_is_taken() -> None:
    # The last token was said and never computed, so the cells end in the middle of the tokenizer's.
    assert respell((6, 3, 5, END), (6, 1, 2, 3)) == (6, 1, 2, 5, END)
    # What was edited is another text.
    assert respell((6, 3, 6, END), (6, 1, 2, 2)) == (6, 1, 2, 6, END)


def test_control_tokens_and_pictures_stand_for_no_text() -> None:
    assert respell((6, END, 1), (6, 1, END)) == (6, END, 1)
    assert respell((6, PICTURE, 3), (6, 1, 2)) == (6, PICTURE, 3)


def test_every_answer_of_a_long_talk_is_found_behind_the_same_control_tokens() -> None:
    held = (6, END, 1, 2, END, 6, END, 1, 2)
    assert respell((6, END, 3, END, 6, END, 3, END, 6), held) == (*held, END, 6)


TOKENS = st.lists(st.integers(-1, 10), max_size=12).map(tuple)


@given(TOKENS, TOKENS)
def test_the_text_stays_the_same_and_no_less_is_shared(prompt: tuple[int, ...], held: tuple[int, ...]) -> None:
    found = respell(prompt, held)
    assert text(found) == text(prompt)
    assert common_prefix(found, held) >= common_prefix(prompt, held)
    assert respell(found, held) == found


@given(st.lists(st.integers(1, 9), max_size=12).map(tuple), st.data())
def test_whatever_way_a_text_is_spelled_it_is_found_whole(held: tuple[int, ...], data: st.DataObject) -> None:
    rest, prompt = text(held), []
    while rest:
        fitting = [token for token, piece in PIECES.items() if piece and token > 0 and rest.startswith(piece)]
        prompt.append(data.draw(st.sampled_from(fitting)))
        rest = rest[len(PIECES[prompt[-1]]) :]
    assert respell((*prompt, END, 6), held) == (*held, END, 6)
