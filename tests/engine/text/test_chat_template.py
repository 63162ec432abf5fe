"""Templates of every published manner render; hostile ones stay inside and small."""

from __future__ import annotations

import pytest

from edgechat.engine.text.chat_template import CHATML, MAX_SOURCE, ChatTemplate, TemplateError
from edgechat.engine.text.jinja_sandbox import MAX_RANGE
from edgechat.errors import InvalidInputError

CHAT = [
    {"role": "user", "content": " Hello "},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Who are you?"},
]
SYSTEM = [{"role": "system", "content": "Be brief."}, *CHAT]


def render(source: str, chat: list[dict[str, str]] = CHAT, *, think: bool = False) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(chat, think=think)


# -- the manners of published templates, each in a short form of our own ---------------------------------------------

CHATML_WITH_DEFAULT_SYSTEM = """
{%- for message in messages %}
{%- if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}
{{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not date_string is defined %}
  {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
  {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
  {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""

GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{- '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

QWEN3 = """{%- if tools %}{{- 'no' }}{%- else %}{%- if messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
{%- set index = (messages|length - 1) - loop.index0 %}
{%- if ns.multi_step_tool and message.role == "user" and message.content is string
  and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}
{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if message.role == "user" %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- elif message.role == "assistant" %}
{%- set content = message.content %}
{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{%- if loop.index0 > ns.last_query_index and message.reasoning_content is defined %}{{- 'never' }}{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

MISTRAL = """{{ bos_token }}{%- for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('After the optional system message, roles must alternate') }}{%- endif %}
{%- if message['role'] == 'user' %}{{- ' [INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{- ' ' + message['content'] + eos_token }}
{%- else %}{{- raise_exception('Only user and assistant roles are supported!') }}{%- endif %}{%- endfor %}"""

GRANITE = """{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}
{%- set loop_messages = messages[1:] %}
{%- else %}{%- set system_message = "Today's Date: " + strftime_now('%B %d, %Y') + ".\\nYou are Granite." %}
{%- if tools and documents %}{%- set system_message = system_message + " no" %}
{%- elif thinking %}{%- set system_message = system_message + " think" %}{%- endif %}
{%- set loop_messages = messages %}{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- for message in loop_messages %}
{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
{%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant' }}
{%- if controls %}{{- ' ' + controls | tojson()}}{%- endif %}{{- '<|end_of_role|>' }}{%- endif %}{%- endfor %}"""

WITH_MACROS = """{%- macro turn(role, text='') -%}{{ '<|{}|>'.format(role) ~ text }}{%- endmacro -%}
{%- set ns = namespace(out=[], n=0) -%}
{%- for m in messages if m.role in ['user', 'assistant'] -%}
{%- set ns.n = ns.n + 1 -%}{%- set ns.out = ns.out + [turn(m.role, m['content'] | replace('\\r', ''))] -%}
{%- if ns.n > 100 %}{% break %}{% endif -%}
{%- endfor -%}
{%- set head %}{{ 'n' * 3 }}{{ messages | map(attribute='role') | unique | join(',') }}{% endset -%}
{{ head }}{{ ns.out | join('') }}
{{- (messages | selectattr('role', 'equalto', 'user') | list | last).content | tojson | safe }}
{%- for k, v in {'b': 1.5, 'a': [1, none, true]} | dictsort %}{{ k }}={{ v }};{% endfor %}
{%- generation -%}{{ '<|assistant|>' }}{%- endgeneration -%}"""

FAMILIES = {
    "chatml": CHATML,
    "chatml with a default system message": CHATML_WITH_DEFAULT_SYSTEM,
    "llama3": LLAMA3,
    "gemma": GEMMA,
    "qwen3": QWEN3,
    "mistral": MISTRAL,
    "granite": GRANITE,
    "macros": WITH_MACROS.replace("{%- generation -%}", "{%- generation %}").replace("{%- endgen", "{% endgen"),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("think", [False, True])
def test_templates_in_the_manner_of_published_ones_render_the_whole_conversation(name, think):
    text = render(FAMILIES[name], think=think)
    assert text.index("Hello") < text.index("Hi.") < text.index("Who are you?")


@pytest.mark.parametrize(
    ("name", "takes"), [("chatml", True), ("llama3", True), ("granite", True), ("gemma", False), ("mistral", False)]
)
def test_whether_a_template_takes_a_system_message_is_found_out(name, takes):
    assert ChatTemplate(FAMILIES[name], bos="<s>", eos="</s>").takes_system is takes


def test_a_template_that_drops_the_system_message_does_not_take_one():
    source = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    assert not ChatTemplate(source, bos="", eos="").takes_system


def test_chatml_renders_exactly():
    assert render(CHATML, SYSTEM[:2]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n"
    )


def test_thinking_is_switched_off_and_on():
    assert render(QWEN3).endswith("<think>\n\n</think>\n\n")
    assert render(QWEN3, think=True).endswith("<|im_start|>assistant\n")


def test_a_block_of_training_libraries_is_taken_for_what_it_holds():
    assert render("a\n{%- generation -%}\n b{% endgeneration %}c") == "abc"


def test_json_in_a_prompt_is_json_and_not_html():
    assert render("""{{ {'a': '<&>é'} | tojson }}""") == '{"a": "<&>é"}'
    assert render("{{ [1, [2]] | tojson(indent=2) }}") == "[\n  1,\n  [\n    2\n  ]\n]"


def test_a_refusal_of_the_template_itself_is_the_callers_fault():
    with pytest.raises(InvalidInputError, match="roles must alternate"):
        render(MISTRAL, [CHAT[0], CHAT[0]])


def test_a_prompt_does_not_change_with_the_clock():
    assert "Today Date: \n" in render(LLAMA3)


def test_a_large_document_is_rendered_however_large():
    text = "x" * 9_000_000
    assert len(render(CHATML, [{"role": "user", "content": text}])) > len(text)
    assert len(render(LLAMA3, [{"role": "user", "content": text}] * 5)) > 5 * len(text)


def test_messages_are_not_the_templates_to_change():
    chat = [dict(message) for message in CHAT]
    with pytest.raises(TemplateError):
        render("{{ messages.append(1) }}", chat)
    with pytest.raises(TemplateError):
        render("{{ messages[0].update(role='x') }}", chat)
    assert chat == CHAT


# -- hostile ones ----------------------------------------------------------------------------------------------------

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}{{ ''['__class__'].__base__ }}",
    "{{ messages.__class__.__init__.__globals__ }}",
    "{{ raise_exception.__globals__['re'] }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ namespace().__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% for x in [1] %}{{ loop._iterable.__class__ }}{% endfor %}",
    "{{ (messages | map(attribute='__class__') | list)[0].__mro__ }}",
    "{{ (messages | groupby('__class__') | first).grouper.__mro__ }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ '{0[0]}'.format('ab') }}",
    "{{ '{x!r}'.format(x='') }}",
    "{{ '{0.__class__}'.format_map({'0': ''}) }}",
    "{{ 'x' | attr('__class__') }}",
    "{{ ('x' | list).__class__ }}{{ [].__class__.__base__ }}",
    "{{ undefined_thing._undefined_message }}{{ undefined_thing.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum(n=1) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
    "{{ dict.__base__.__subclasses__() }}",
    "{{ dict.fromkeys.__self__.__mro__ }}",
    "{{ 'abc'.encode().decode }}{{ 'abc'.encode() }}",
    "{{ (1).to_bytes(4, 'big') }}",
    "{{ (1.5).hex() }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_there_is_no_way_out_to_python(source):
    """Either an error, or text that shows nothing of Python's insides."""
    try:
        text = render(source)
    except TemplateError:
        return
    assert not any(sign in text for sign in ("<class", "__", "<module", "root:", "built-in", "environment"))


def sixty(step: str, start: str = "'ab'", after: str = "") -> str:
    """Sixty times over, which doubles what doubles to 2^60."""
    loop = "{% for i in range(60) %}" + (step if "{%" in step else "{% set n.x = " + step + " %}") + "{% endfor %}"
    return "{% set n = namespace(x=" + start + ") %}" + loop + after


GROWTH = {
    "repetition": "{{ 'x' * 10000000000 }}",
    "repetition of a list": "{{ ([0] * 10000000000) | length }}",
    "repetition from the left": "{{ 10000000000 * 'x' }}",
    "a wide field": "{{ '%10000000000d' % 1 }}",
    "a wide format": "{{ '{:>10000000000}'.format('x') }}",
    "a wide format by key": "{{ '{:>10000000000}'['format']('x') }}",
    "a format within a format": "{{ '{:{w}}'.format(1, w=10000000000) }}",
    "padding": "{{ 'x'.ljust(10000000000) }}",
    "padding with zeros": "{{ 'x'.zfill(10000000000) }}",
    "padding bytes": "{{ 'x'.encode().ljust(10000000000) }}",
    "tabs": "{{ '\\t'.expandtabs(10000000000) }}",
    "an integer's bytes": "{{ (5).to_bytes(10000000000, 'big') }}",
    "an indent": "{{ 'x' | indent(10000000000, true) }}",
    "a batch": "{{ [1] | batch(10000000000, 'x') | list }}",
    "a slice": "{{ [1] | slice(10000000000) | list }}",
    "a power": "{{ 10 ** (10 ** 10) }}",
    "a power of powers": "{{ 9 ** 64 ** 64 ** 64 }}",
    "a power below one": "{{ 2 ** (0 - 10 ** 12) ** 3 }}",
    "rounding": "{{ 5 | round(-1000000000) }}",
    "rounding up": "{{ 5 | round(1000000000, 'ceil') }}",
    "a hexadecimal product": "{% set x = ('f' * 4000000) | int(base=16) %}{{ x * x > 0 }}",
    "a range": "{% for i in range(10000000000) %}x{% endfor %}",
    "a range that starts below": "{% for i in range(-10000000000, 10) %}x{% endfor %}",
    "a range backwards": "{% for i in range(0, -10000000000, -1) %}x{% endfor %}",
    "a range beyond what len() can say": "{{ range(10 ** 30) | list }}",
    "joining with +": sixty("n.x + n.x"),
    "joining with ~": sixty("n.x ~ n.x"),
    "joining by a block": sixty("{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}"),
    "joining by a macro": "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}" + sixty("m(n.x)"),
    "joining by a filter": sixty("[n.x, n.x] | join"),
    "joining by a method": sixty("''.join([n.x, n.x])"),
    "joining by a format": sixty("'{}{}'.format(n.x, n.x)"),
    "replacing by a filter": sixty("n.x | replace('a', 'aa')", "'aa'"),
    "replacing by a method": sixty("n.x.replace('a', 'aa')", "'aa'"),
    "replacing nothing": sixty("n.x.replace('', 'aa')"),
    "growing lists": sixty("n.x + n.x", "[1]"),
    "summing lists": sixty("[n.x, n.x] | sum(start=[])", "[1]"),
    "summing by attribute": sixty("[{'a': n.x}, {'a': n.x}] | sum(attribute='a', start=[])", "[1]"),
    "a list of lists, shown": sixty("[n.x, n.x]", "[1]", "{{ n.x }}"),
    "a list of lists, joined": sixty("[n.x, n.x]", "[1]", "{{ n.x ~ '' }}"),
    "a list of lists as JSON": sixty("[n.x, n.x]", "[1]", "{{ n.x | tojson }}"),
    "a dictionary of dictionaries as text": sixty("{'a': n.x, 'b': n.x}", "[1]", "{{ n.x | string }}"),
    "many large texts": "{% set n = namespace(x=[]) %}"
    "{% for i in range(5000) %}{% set n.x = n.x + ['x' * 3000000] %}{% endfor %}",
    "copies by a method": "{% set n = namespace(x=[]) %}{% set t = 'x' * 3000000 %}"
    "{% for i in range(5000) %}{% set n.x = [n.x, t.upper()] %}{% endfor %}",
    "copies by a filter": "{% set n = namespace(x=[]) %}{% set t = 'x' * 3000000 %}"
    "{% for i in range(5000) %}{% set n.x = [n.x, t | capitalize] %}{% endfor %}",
    "copies by a slice": "{% set n = namespace(x=[]) %}{% set t = 'x' * 3000000 %}"
    "{% for i in range(5000) %}{% set n.x = [n.x, t[1:]] %}{% endfor %}",
    "copies of a list": "{% set n = namespace(x=[]) %}{% set t = [0] * 400000 %}"
    "{% for i in range(5000) %}{% set n.x = [n.x, t[1:], t | reverse | list] %}{% endfor %}",
    "signs of four bytes": "{% set n = namespace(x=[]) %}{% set t = '\U0001f600' * 900000 %}"
    "{% for i in range(60) %}{% set n.x = [n.x, t ~ i] %}{% endfor %}",
    "much output": "{% for i in range(10000) %}{{ 'x' * 100000 }}{% endfor %}",
    "recursion": "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
    "recursion in a loop": "{% for i in [[1]] recursive %}{{ loop([i]) }}{% endfor %}",
}


@pytest.mark.parametrize("name", GROWTH)
def test_a_template_that_asks_for_gigabytes_is_stopped(name):
    with pytest.raises(TemplateError):
        render(GROWTH[name])


def test_what_a_rendering_takes_is_given_back_and_the_process_stays_small() -> None:
    """One message made the engine take 5.6 GB before its timer ended it."""
    from edgechat.engine.child.process_memory import rss

    before = rss()
    for name in (
        "copies by a method",
        "copies by a filter",
        "copies by a slice",
        "copies of a list",
    ):
        with pytest.raises(TemplateError):
            render(GROWTH[name])
        assert rss() - before < 400e6, name
    assert "Hello" in render(CHATML)


CONSTANTS = [
    "{{ 'xx' | replace('x', 'xxxxxxxxxx')" + " | replace('x', 'xxxxxxxxxx')" * 9 + " }}",
    "{% if [1] | batch(10000000000, 'x') | list %}{% endif %}",
    "{% set x = 'a' ~ ('b' * 10000000000) %}",
    "{{ 5 | round(1000000000, 'ceil') }}",
]


@pytest.mark.parametrize("source", CONSTANTS)
def test_nothing_of_a_template_runs_while_it_is_compiled(source):
    """Jinja computes constant expressions in advance, before any limit is in force."""
    template = ChatTemplate("{% if false %}" + source + "{% endif %}ok", bos="", eos="")
    assert template.render(CHAT, think=False) == "ok"


INVALID = {
    "no Jinja": "{% for %}",
    "an unknown block": "{% trans %}x{% endtrans %}",
    "an unknown filter": "{{ 'x' | center(100) }}",
    "loops deeper than Python allows": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "conditions deeper than Python allows": "{% if 1 %}" * 200 + "{% endif %}" * 200,
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a long sum": "{{ " + "+".join(["1"] * 20_000) + " }}",
    "a long list of nots": "{{ " + "not " * 20_000 + "1 }}",
    "more text than any template has": "x" * (MAX_SOURCE + 1),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_cannot_be_compiled_is_refused_in_one_line(name):
    with pytest.raises(TemplateError) as caught:
        render(INVALID[name])
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


def test_the_longest_range_that_is_allowed_is_allowed():
    assert render(f"{{{{ range({MAX_RANGE}) | list | length }}}}") == str(MAX_RANGE)
    assert render("{{ range(5, 0, -2) | list }}{{ range(0) | list }}") == "[5, 3, 1][]"


def test_a_stopped_rendering_does_not_spoil_the_next_one():
    source = "{% for m in messages %}{{ m.content * (10 ** 10 if m.content == 'bad' else 1) }}{% endfor %}"
    template = ChatTemplate(source, bos="", eos="")
    for _ in range(3):
        with pytest.raises(TemplateError):
            template.render([{"role": "user", "content": "bad"}], think=False)
        assert template.render([{"role": "user", "content": "good"}], think=False) == "good"
