"""How people name models: our references, other tools' tags, slips of the fingers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgechat.errors import ModelNotFoundError, UsageError
from edgechat.models.catalog.names import ModelRef, is_quant, nearest, nearest_hint, parse_reference, recognise_tag

KNOWN = ["llama-3.2-1b-instruct", "llama-3.2-3b-instruct", "qwen2.5-0.5b-instruct", "qwen3-4b-instruct-2507", "phi-4"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen2.5-1.5B-Instruct", ModelRef("catalog", "qwen2.5-1.5b-instruct")),
        (" qwen2.5-1.5b-instruct:q3_k_m ", ModelRef("catalog", "qwen2.5-1.5b-instruct", "Q3_K_M")),
        ("gpt-oss-20b:mxfp4", ModelRef("catalog", "gpt-oss-20b", "MXFP4")),
        ("bartowski/Qwen2.5-7B-Instruct-GGUF", ModelRef("hub", "bartowski/Qwen2.5-7B-Instruct-GGUF")),
        ("Org/Repo:q4_k_m", ModelRef("hub", "Org/Repo", "Q4_K_M")),
        ("unsloth/x-GGUF:ud-q4_k_xl", ModelRef("hub", "unsloth/x-GGUF", "UD-Q4_K_XL")),
        ("Org/Repo:sub/File-Q4_0.gguf", ModelRef("hub", "Org/Repo", file="sub/File-Q4_0.gguf")),
        ("hf.co/Org/Repo:Q8_0", ModelRef("hub", "Org/Repo", "Q8_0")),
        ("https://huggingface.co/Org/Repo/", ModelRef("hub", "Org/Repo")),
        ("model.gguf", ModelRef("path", "model.gguf")),
        ("models/Model.GGUF", ModelRef("path", "models/Model.GGUF")),
        ("a/b/c.gguf", ModelRef("path", "a/b/c.gguf")),
        ("./Org/Repo", ModelRef("path", "./Org/Repo")),
        ("../Org/Repo", ModelRef("path", "../Org/Repo")),
        ("/blobs/sha256-0a", ModelRef("path", "/blobs/sha256-0a")),
        ("~/x:y.gguf", ModelRef("path", "~/x:y.gguf")),
        ("llama3.2:3b", ModelRef("catalog", "llama-3.2-3b-instruct", tag="llama3.2:3b")),
        ("Mistral-Nemo", ModelRef("catalog", "mistral-nemo-instruct-2407", tag="Mistral-Nemo")),
        (
            "qwen2.5:1.5b-instruct-q4_K_M",
            ModelRef("catalog", "qwen2.5-1.5b-instruct", "Q4_K_M", tag="qwen2.5:1.5b-instruct-q4_K_M"),
        ),
    ],
)
def test_a_reference_is_understood(text: str, expected: ModelRef) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize("text", ["qwen3-8b", "qwen3-8b:Q4_K_M", "Org/Repo:Q8_0", "Org/Repo:a/b.gguf", "./m.gguf"])
def test_a_reference_prints_as_it_is_written(text: str) -> None:
    assert str(parse_reference(text)) == text
    assert parse_reference(str(parse_reference(text))) == parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "qwen\x1b[31m",
        "a/b/c",
        "Org/Repo:",
        "Org/Repo:latest",
        "Org/Repo:../../etc/x.gguf",
        "Org/Repo:/etc/x.gguf",
        "Org/Repo:a\\..\\x.gguf",
        "https://huggingface.co/Org/Repo/resolve/main/x.gguf",
    ],
)
def test_what_cannot_be_a_reference_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.hint


def test_an_unknown_size_is_met_with_the_known_ones() -> None:
    with pytest.raises(ModelNotFoundError, match=r"llama3\.2:1b, llama3\.2:3b"):
        parse_reference("llama3.2:90b")


def test_a_tail_that_is_no_quantization_is_named() -> None:
    with pytest.raises(ModelNotFoundError, match="latest after the colon is not a quantization"):
        parse_reference("phi-4:latest")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("llama3.2", "llama-3.2-3b-instruct"),
        ("llama3.2:latest", "llama-3.2-3b-instruct"),
        ("llama3.2:1b-instruct-q8_0", "llama-3.2-1b-instruct"),
        ("llama3:8b", "llama-3-8b-instruct"),
        ("qwen2.5:1.5b", "qwen2.5-1.5b-instruct"),
        ("qwen3:4b", "qwen3-4b-instruct-2507"),
        ("qwen3:4b-instruct-2507-q4_K_M", "qwen3-4b-instruct-2507"),
        ("gemma2:2b", "gemma-2-2b-it"),
        ("gemma3:4b-it-q4_0", "gemma-3-4b-it"),
        ("phi3.5", "phi-3.5-mini-instruct"),
        ("phi3.5:3.8b", "phi-3.5-mini-instruct"),
        ("mistral-nemo:12b", "mistral-nemo-instruct-2407"),
        ("tinyllama", "tinyllama-1.1b-chat"),
        ("tinyllama:1.1b-chat-v1.0-q4_0", "tinyllama-1.1b-chat"),
        ("TinyLlama:1.1B", "tinyllama-1.1b-chat"),
        ("qwen2.5-coder:7b", None),
        ("gemma2", None),
        ("llama3:70b", None),
        ("qwen2.5-1.5b-instruct", None),
    ],
)
def test_tags_of_other_tools(tag: str, name: str | None) -> None:
    found = recognise_tag(tag)
    assert (found[0] if found else None) == name


@pytest.mark.parametrize(
    "text", ["q4_k_m", "Q3_K_M", "iq4_xs", "IQ2_XXS", "q8_0", "bf16", "F16", "ud-q2_k_xl", "mxfp4"]
)
def test_quantization_names(text: str) -> None:
    assert is_quant(text)


@pytest.mark.parametrize("text", ["", "3b", "latest", "q4", "q4km", "instruct", "q9_0", "e4b", "20b"])
def test_what_is_no_quantization_name(text: str) -> None:
    assert not is_quant(text)


@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ("lama-3.2-3b-instruct", "llama-3.2-3b-instruct"),
        ("llama3.2-1b", "llama-3.2-1b-instruct"),
        ("Qwen25-05b-instruct", "qwen2.5-0.5b-instruct"),
        ("qwen3_4b", "qwen3-4b-instruct-2507"),
        ("PHI4", "phi-4"),
    ],
)
def test_the_nearest_name_comes_first(wanted: str, first: str) -> None:
    assert nearest(wanted, KNOWN)[0] == first


def test_nothing_near_is_nothing() -> None:
    assert nearest("xyzzy", KNOWN) == []
    assert nearest("...", KNOWN) == []
    assert nearest_hint("xyzzy", KNOWN) == "See what there is: edgechat models list --all"


def test_a_hint_names_at_most_three() -> None:
    assert nearest_hint("instruct", KNOWN).count(" or ") == 2


@pytest.mark.process
def test_names_are_light() -> None:
    code = "import sys, edgechat.models.catalog.names as n; n.parse_reference('llama3.2:3b'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"pydantic", "numpy", "tomllib", "huggingface_hub", "jinja2"} & set(loaded)
