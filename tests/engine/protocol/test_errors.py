"""An error raised in the engine is the same error in the client."""

from __future__ import annotations

import pytest

from edgechat import errors
from edgechat.engine.protocol.errors import error_frame, to_error
from edgechat.engine.protocol.framing import Decoder, encode
from edgechat.engine.text.chat_template import TemplateError
from edgechat.errors import ContextOverflowError, EdgechatError, EngineError, SchemaError


def travelled(error: EdgechatError) -> EdgechatError:
    (frame,) = Decoder().feed(encode(error_frame(error, 1)))
    return to_error(frame)


CLASSES = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, EdgechatError) and each is not ContextOverflowError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_class_message_and_hint_survive(kind):
    error = travelled(kind("Ünwell.", hint="Do this."))
    assert type(error) is kind
    assert (error.message, error.hint, str(error)) == ("Ünwell.", "Do this.", "Ünwell. Do this.")
    assert error.exit_code == kind.exit_code
    assert vars(error) == vars(kind("Ünwell.", hint="Do this."))


def test_an_overflow_keeps_both_numbers_and_its_sentence():
    sent = ContextOverflowError(4097, 4096)
    error = travelled(sent)
    assert isinstance(error, ContextOverflowError)
    assert (error.prompt_tokens, error.n_ctx) == (4097, 4096)
    assert str(error) == str(sent)


def test_a_schema_error_keeps_the_place_and_a_death_its_cause():
    schema = travelled(SchemaError("No.", path="/properties/a"))
    engine = travelled(EngineError("Gone.", cause="oom"))
    assert isinstance(schema, SchemaError)
    assert isinstance(engine, EngineError)
    assert (schema.path, engine.cause) == ("/properties/a", "oom")


def test_a_class_that_only_the_engine_has_arrives_as_its_nearest_known_one():
    assert type(travelled(TemplateError("Bad template."))) is errors.InvalidModelFileError


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "error"},
        {"type": "error", "kind": "ExitCode", "message": 5, "hint": None, "data": []},
        {"type": "error", "kind": "annotations", "data": None},
        {"type": "error", "kind": "NoSuchError", "data": {"__class__": "x", "with_traceback": 1, "args": 2}},
    ],
)
def test_a_frame_that_makes_no_sense_is_still_an_error(frame):
    error = to_error(frame)
    assert type(error) is EdgechatError
    assert isinstance(str(error), str)
    assert error.with_traceback(None) is error
