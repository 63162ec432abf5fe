"""A model's statement against its evidence: what small models get wrong is refused."""

from __future__ import annotations

import pytest

from edgechat.tasks.rootcause.examples import EXAMPLES, example_texts
from edgechat.tasks.rootcause.line_state import judged_lines
from edgechat.tasks.rootcause.record import Evidence
from edgechat.tasks.rootcause.statements import example_terms, statement_fault

TEXTS = {
    "N1": "Resin dried 1 h instead of 4 h because the dryer was occupied.",
    "N2": "Cleaning of the conveyor belt was skipped twice this week.",
    "N3": "The gasket lot was changed from A17 to B02 at 13:40.",
    "N4": "The O-ring was left out after the break.",
    "L1": "torque bolt 4 11.2 Nm, limit 12.0 to 14.0",
    "L2": "leak rate 4.1 ml/min, limit 1.0",
    "J1": "今週は搬送ベルトの清掃が二回省略された。",
    "J2": "ボルト4 トルク 11.2 Nm 規格 12.0-14.0",
    "Z1": "回流炉6区的加热管坏了一根。",
}


def fault(said: str, *cited: str, language: str = "en", longest: int = 110) -> str:
    lines = judged_lines([Evidence(id=name, text=text) for name, text in TEXTS.items() if name in {"L1", "L2", "J2"}])
    return statement_fault(
        said,
        cited=cited,
        texts=TEXTS,
        lines=lines,
        defect_words="P-104 short shot corner B2 表面傷 上面左 虚焊",
        example_words=example_terms(example_texts(language)),
        longest=longest,
    )


@pytest.mark.parametrize(
    ("said", "cited"),
    [
        ("The resin was dried for 1 h instead of 4 h.", ["N1"]),
        ("Cleaning of the conveyor belt was skipped twice.", ["N2"]),
        ("The torque of bolt 4 was below its limit.", ["L1"]),
        ("The leak rate exceeded the limit of 1.0.", ["L2"]),
        ("搬送ベルトの清掃が二回省略された。", ["J1"]),
        ("ボルト4のトルクが規格を下回る。", ["J2"]),
        ("The O-ring was left out.", ["N4"]),
        ("回流炉6区加热管坏了。", ["Z1"]),
    ],
)
def test_a_true_statement_in_the_words_of_its_evidence_passes(said, cited):
    assert fault(said, *cited) == ""


@pytest.mark.parametrize(
    ("said", "cited", "why"),
    [
        ("The torque of bolt 4 was too high.", ["L1"], "too low"),
        ("The leak rate was too low.", ["L2"], "too high"),
        ("ボルト4のトルクが高い。", ["J2"], "too low"),
        ("The resin was dried for 1 h.", ["N1"], "leaves out"),
        ("Cleaning of the conveyor belt twice this week.", ["N2"], "leaves out"),
        ("搬送ベルトの清掃が二回された。", ["J1"], "leaves out"),
        ("The resin dried at 90 C instead of 4 h.", ["N1"], "does not hold"),
        ("The gasket lot C99 was changed at 13:40.", ["N3"], "does not hold"),
        ("The operator forgot to dry the resin, not 4 h.", ["N1"], "does not say"),
        ("The short shot at corner B2.", ["L1"], "only names"),
        ("The torque is within its limit.", ["L1"], "calls a value normal"),
        ("Saw blade 2 has lost two teeth.", ["L1"], ""),
        ("Bad.", ["L1"], "too short"),
        ("加热管的温度超出设定。湿的。", ["J1"], ""),
    ],
)
def test_a_statement_that_errs_is_refused_with_the_reason(said, cited, why):
    assert why in fault(said, *cited) != ""


def test_a_statement_that_the_schema_cut_off_is_refused():
    said = "Cleaning of the conveyor belt was skipped twi"
    assert "cut off" in fault(said, "N2", longest=len(said))


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_every_example_answer_is_refused_for_other_evidence(language):
    for example in EXAMPLES[language]:
        assert fault(example.causes[0]["cause"], "N3", language=language)


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_the_examples_themselves_would_pass_the_check(language):
    for example in EXAMPLES[language]:
        (cause,) = example.causes
        assert (
            statement_fault(
                cause["cause"], cited=cause["evidence"], texts=example.evidence, lines=[], defect_words=example.defect,
                example_words=(), longest=200,
            )
            == ""
        )  # fmt: skip
