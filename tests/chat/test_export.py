"""Conversations leave as Markdown and JSON, and come back from JSON whole; others' formats come in too."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.chat import import_conversations
from edgechat.chat.conversation import Attachment, Conversation, Message, Transcript
from edgechat.chat.export import safe_json, to_json, to_markdown
from edgechat.errors import InvalidInputError
from edgechat.plaintext import clean

if TYPE_CHECKING:
    from edgechat.chat.history import History

HOSTILE = "\x1b[31mred\x1b]52;c;aGk=\x07 \x9b2J \u202eevil\u2066 \x7f\u2028 東京 🙂"

WHOLE = Transcript(
    Conversation(HOSTILE, HOSTILE, "small:Q4", "import", "2025-01-02T03:04:05Z", "u1"),
    (
        Message("user", HOSTILE, created_at="2025-01-02T03:04:05Z"),
        Message(
            "assistant", HOSTILE, HOSTILE, "partial", "interrupted", "small", "Q4", {"prompt_tokens": 3},
            {"ttft_s": 0.25, "decode_tps": 12.5},
        ),
        Message("system", "now in English"),
    ),
)  # fmt: skip


def is_obeyed(text: str) -> list[str]:
    """Characters that a terminal would obey or that reorder what is read."""
    return [hex(ord(each)) for each in text if clean(each) != each and each != "\r"]


def test_json_comes_back_as_it_left(history: History) -> None:
    text = to_json([WHOLE])
    assert is_obeyed(text) == []
    assert "東京 🙂" in text, "readable in any script"
    found = import_conversations.read(text, "file")
    assert found == import_conversations.ImportedFile((WHOLE,), ())
    (number,), known = history.add(found.transcripts)
    assert known == 0
    kept = history.transcript(number)
    again = import_conversations.read(to_json([kept]), "file").transcripts[0]
    # A title is one line without control characters, wherever it comes from.
    assert again.messages == WHOLE.messages
    assert replace(again.conversation, title="") == replace(WHOLE.conversation, title="")
    assert history.add(found.transcripts) == ([], 1), "the same conversation is not kept twice"


def test_versions_attachments_and_sampling_come_back(history: History) -> None:
    """From one history through a file into another: the tree of versions, what was sent along, and the settings."""
    number = history.start(system="Brief.", sampling={"temperature": 0.3, "max_tokens": 200}).id
    image = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    files = (Attachment("weld.png", image=image), Attachment("log.txt", "torque 12 Nm\n"), Attachment("empty.txt"))
    question = history.add_question(number, "A crack?", files)
    first = _answered(history, number, "No.")
    history.add_question(number, "Sure?")
    _answered(history, number, "Yes.")
    history.set_aside(first)
    _answered(history, number, "Maybe.")
    history.set_aside(question.id)
    edited = history.add_question(number, "A crack on the left?", files[:1])
    _answered(history, number, "Left: yes.")
    for chosen, shown in (
        (edited.id, ["A crack on the left?", "Left: yes."]),
        (first, ["A crack?", "No.", "Sure?", "Yes."]),
    ):
        history.choose(chosen)
        sent = history.transcript(number)
        found = import_conversations.read(
            to_json([replace(sent, conversation=replace(sent.conversation, uid=""))]), "file"
        )
        (copy,), _ = history.add(found.transcripts)
        got = history.transcript(copy)
        assert [each.content for each in got.messages] == shown
        assert [replace(each, message=replace(each.message, id=0)) for each in got.versions] == [
            replace(each, message=replace(each.message, id=0)) for each in sent.versions
        ]
        assert len(got.versions) == 7
        assert got.conversation.sampling == {"temperature": 0.3, "max_tokens": 200}
        assert next(each.message for each in got.versions if each.message.content == "A crack?").attachments == files
        assert len(history.versions(got.messages[0].id)) == 2


def _answered(history: History, number: int, text: str) -> int:
    with history.start_answer(number, "small", "Q4") as answer:
        answer.append(text)
        answer.finish("stop")
    return history.messages(number)[-1].id


@given(st.text(), st.text())
def test_any_text_survives_json_and_none_reaches_a_terminal(content: str, thought: str) -> None:
    text = to_json([Transcript(Conversation(uid="u", origin="import"), (Message("assistant", content, thought),))])
    assert is_obeyed(text) == []
    (message,) = import_conversations.read(text, "file").transcripts[0].messages
    assert (message.content, message.thought) == (content, thought)
    assert json.loads(safe_json({"a": content})) == {"a": content}


def test_an_answer_in_the_making_is_exported_as_partial(history: History) -> None:
    number = history.start(title="t").id
    with history.start_answer(number) as answer:
        answer.append("so far")
        answer.flush()
        exported = json.loads(to_json([history.transcript(number)]))["conversations"][0]["messages"][0]
    assert (exported["status"], exported["content"]) == ("partial", "so far")


def test_markdown_is_clean_and_says_how_answers_ended() -> None:
    cut = Message("assistant", "```python\nprint(1)", status="partial", finish_reason="cancelled")
    long = Message("assistant", "word", finish_reason="length", model="small", quant="Q4")
    text = to_markdown([replace(WHOLE, messages=(*WHOLE.messages, cut, long))])
    assert is_obeyed(text) == []
    assert not any(unicodedata.category(each) == "Cc" and each != "\n" for each in text)
    lines = text.splitlines()
    assert lines[0].startswith("# ")
    assert "\\[31mred" in lines[0], "signs of Markdown in a title are shown"
    assert [line for line in lines if line.startswith("## ")] == [
        "## System prompt", "## You", "## Assistant (small:Q4)", "## System", "## Assistant", "## Assistant (small:Q4)",
    ]  # fmt: skip
    assert "*(interrupted)*" in lines
    assert "*(cancelled)*" in lines
    assert "*(cut at the longest answer allowed)*" in lines
    fence = lines.index("```python")
    assert lines[fence + 2] == "```", "a cut block of code ends before what follows it"
    assert any(line.startswith("> ") and "red" in line for line in lines), "thoughts are quoted"


OPENAI = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "東京?"},
    {"role": "assistant", "content": "Yes."},
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"messages": OPENAI}),
        json.dumps([{"messages": OPENAI}]),
        json.dumps(OPENAI),
        "\ufeff" + json.dumps(OPENAI, indent=2),
        "\n".join(map(json.dumps, OPENAI)) + "\n\n",
        json.dumps({"messages": OPENAI}) + "\r\n",
        json.dumps({"messages": [{**each, "content": [{"type": "text", "text": each["content"]}]} for each in OPENAI]}),
        json.dumps({"conversations": [
            {"from": {"user": "human", "assistant": "gpt"}.get(each["role"], each["role"]), "value": each["content"]}
            for each in OPENAI
        ]}),
        json.dumps([{**OPENAI[0], "role": "developer"}, *OPENAI[1:]]),
    ],
)  # fmt: skip
def test_message_lists_of_other_tools_come_in(text: str, history: History) -> None:
    found = import_conversations.read(text, "file")
    assert found.notes == ()
    (number,), _ = history.add(found.transcripts)
    conversation = history.conversation(number)
    assert (conversation.system, conversation.title, conversation.origin) == ("Be brief.", "東京?", "import")
    assert [(each.role, each.content) for each in history.messages(number)] == [
        ("user", "東京?"),
        ("assistant", "Yes."),
    ]


def test_several_conversations_one_a_line() -> None:
    found = import_conversations.read(
        "\n".join(json.dumps({"messages": OPENAI, "title": str(i)}) for i in range(3)), "file"
    )
    assert [each.conversation.title for each in found.transcripts] == ["0", "1", "2"]


def test_what_cannot_be_kept_is_said() -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "It is 42.", "reasoning_content": "hm"},
    ]
    found = import_conversations.read(json.dumps(messages), "file")
    assert [(each.content, each.thought) for each in found.transcripts[0].messages] == [
        ("See", ""),
        ("It is 42.", "hm"),
    ]
    assert [note.split(" were")[0] for note in found.notes] == [
        "1 message(s) of tools",
        "2 part(s) that are not text (images, calls of tools)",
    ]


OWN = json.loads(to_json([WHOLE]))


def own(**changes: object) -> str:
    return json.dumps({**OWN, **changes})


def own_message(**changes: object) -> str:
    conversation = OWN["conversations"][0]
    return own(conversations=[{**conversation, "messages": [{**conversation["messages"][0], **changes}]}])


def own_versions(*places: tuple[int | None, bool]) -> str:
    conversation = OWN["conversations"][0]
    messages = [{**conversation["messages"][0], "parent": parent, "chosen": chosen} for parent, chosen in places]
    return own(conversations=[{**conversation, "messages": messages}])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "is not JSON|holds no conversation"),
        ("hello", "line 1 is not JSON"),
        ('{"messages": [', "line 1 is not JSON"),
        (json.dumps(OPENAI[0]) + "\n{oops\n", "line 2 is not JSON"),
        ("[]", "holds no conversation"),
        ("7", "holds no conversation"),
        ('{"a": 1}', "conversations is not a list"),
        ('[{"messages": 3}]', r"\[0\]\.messages is not a list"),
        ('[{"messages": [{"role": "robot", "content": "x"}]}]', r'\[0\]\.messages\[0\]\.role is "robot"'),
        ('[{"role": "user", "content": {"a": 1}}]', r"\[0\]\.content is not a list"),
        ('[{"role": ["user"], "content": "x"}]', r"\[0\]\.role is"),
        ("[" * 100_000, "nested too deeply"),
        ('{"messages": NaN}', "NaN is no number"),
        (own(format="other"), "format is 'other'"),
        (own(version=3), "version is 3; this edgechat reads up to 2"),
        (own(conversations={}), "conversations is not a list"),
        (own(conversations=[3]), r"conversations\[0\] is not an object"),
        (own_message(role="robot"), r"conversations\[0\]\.messages\[0\]\.role is"),
        (own_message(status="streaming"), r"messages\[0\]\.status is"),
        (own_message(status=["complete"]), r"messages\[0\]\.status is"),
        (own_message(content=7), r"messages\[0\]\.content is 7"),
        (own_message(usage={"a": "b"}), r"messages\[0\]\.usage is"),
        (
            own_versions((None, True), (0, True), (0, True)),
            r"messages\[2\]\.chosen is true, as is that of messages\[1\]",
        ),
        (own_versions((None, True), (1, True)), r"messages\[1\]\.parent is 1, which does not come before"),
        (own_message(attachments=[{"name": "a.png", "image": "?"}]), r"attachments\[0\]\.image is not base64"),
        (own_message(colour="red"), r"messages\[0\]\.colour is not known"),
    ],
)
def test_what_is_no_conversation_is_refused_with_the_place(text: str, place: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"my file.*({place})"):
        import_conversations.read(text, "my file")
