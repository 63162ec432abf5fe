"""The question to the model for one segment: messages and token limit. The answer is plain text of one line.

The model sees example translations as earlier turns, then the glossary's terms as turns, then the segment alone. A
model that was trained on its own prompt gets that prompt. The text is data, not an instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgechat.engine.protocol.request import Message
from edgechat.tasks.translate.examples import examples
from edgechat.tasks.translate.languages import LANGUAGES, scripts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.tasks.translate.record import Term

Wording = Literal["examples", "instruction", "own"]
"""The prompt: with examples, with the instruction alone, or the model's own."""

STOP = ("\n",)
_MOST_TERMS = 12
"""Terms of the glossary in one prompt: each is read anew for each segment."""

# Tokens for each character of the source: no good answer of the models in docs/quality.md needed more.
_TOKENS = {("kana", "latin"): 1.2, ("han", "latin"): 1.6, ("latin", "east"): 0.6, ("east", "east"): 1.4}
_TOKENS_LATIN = 0.7
_TOKENS_ELSEWHERE = 1.6
"""For scripts that vocabularies spell as bytes."""
_SLACK = 12


def messages(
    text: str,
    *,
    source: str,
    target: str,
    terms: Sequence[Term],
    wording: Wording,
    prompts: Mapping[str, str],
) -> tuple[Message, ...]:
    """The messages for one segment.

    Args:
        text: the segment.
        source: language code or ``und``.
        target: language code.
        terms: the glossary's terms that occur in it.
        wording: the prompt to use.
        prompts: the model's own prompts, by job, for the wording ``own``.
    """
    if wording == "own":
        return _own(text, source=source, target=target, terms=terms, prompts=prompts)
    origin = f" from {LANGUAGES[source].name}" if source in LANGUAGES else ""
    turns = list(examples(source, target)) if wording == "examples" else []
    # Small models translate a list of terms in the instructions; as turns they follow it.
    turns += [(term.source, term.target) for term in terms[:_MOST_TERMS]]
    return (
        Message("system", f"Translate{origin} to {LANGUAGES[target].name}. Reply with the translation only."),
        *(Message(role, said) for turn in turns for role, said in zip(("user", "assistant"), turn, strict=True)),
        Message("user", text),
    )


def _own(
    text: str, *, source: str, target: str, terms: Sequence[Term], prompts: Mapping[str, str]
) -> tuple[Message, ...]:
    is_chinese = "zh" in {source, target} and "translate_zh" in prompts
    template = prompts["translate_zh" if is_chinese else "translate"]
    user = _filled(template, text, target)
    use = "; ".join(f"{term.source} = {term.target}" for term in terms)
    if use and template != "{text}":
        # A prompt that is only the text has no place for terms: they would be translated too.
        user = f"{'参考术语' if is_chinese else 'Use these terms'}: {use}\n\n{user}"
    system = prompts.get("translate_system", "")
    return (*([Message("system", _filled(system, "", target))] if system else []), Message("user", user))


def prompt_lines(*, source: str, target: str, wording: Wording, prompts: Mapping[str, str]) -> tuple[str, ...]:
    """The lines of the prompt besides the text and its terms; an answer must not repeat them.

    Arguments as in :func:`messages`.
    """
    given = messages("", source=source, target=target, terms=(), wording=wording, prompts=prompts)
    return tuple(line for message in given for line in message.content.splitlines() if line.strip())


def answer_tokens(text: str, target: str) -> int:
    """Token limit of a translation, proportional to the text, so that a decoding loop ends soon."""
    scripts = scripts_of(text)
    east = sum(scripts.get(script, 0) for script in ("kana", "han", "hangul", "thai"))
    plain = len(text) - east
    to = LANGUAGES[target].scripts[0]
    if to == "latin":
        origin = "kana" if scripts.get("kana") else "han"
        tokens = east * _TOKENS[origin, "latin"] + plain * _TOKENS_LATIN
    elif to in {"kana", "han", "hangul"}:
        tokens = east * _TOKENS["east", "east"] + plain * _TOKENS["latin", "east"]
    else:
        tokens = east * 2 * _TOKENS_ELSEWHERE + plain * _TOKENS_ELSEWHERE
    return _SLACK + round(tokens)


def _filled(template: str, text: str, target: str) -> str:
    language = LANGUAGES[target]
    # The text is inserted last, so that a field name in it is not replaced.
    head = template.replace("{target}", language.name).replace("{target_zh}", language.name_zh)
    return head.replace("{text}", text)
