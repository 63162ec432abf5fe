"""The sizes of mixtures and hybrids in the catalog, whose tensors ``quantized_size`` does not list, computed again.

A published size less the tensors must be one tokenizer's metadata, the same for every quantization of a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.gguf.quantized_size import METADATA_BYTES_PER_TOKEN, QUANTS, PlannedTensor, _Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOG = load_catalog()
ATTENTION_ONLY_QK_NORM = ("qwen3moe", "lfm2moe")


@dataclass(frozen=True)
class Extra:
    """What a catalog shape does not say."""

    inner: int = 0
    groups: int = 1
    state: int = 128
    heads: int = 0
    """Mamba-2: width, groups, state and heads."""
    experts: int = 0
    shared: int = 0
    """Width of an expert, and of one that runs always."""
    dense: tuple[int, int] = (0, 0)
    """Leading dense layers and their width."""


EXTRA = {
    "granite-4.0-h-1b": Extra(3072, heads=48),
    "granite-4.0-h-tiny": Extra(3072, heads=48, experts=512, shared=1024),
    "nemotron-3-nano-4b": Extra(7680, groups=8, heads=96),
    "lfm2.5-8b-a1b": Extra(experts=1792, dense=(2, 7168)),
    "qwen3-30b-a3b-instruct-2507": Extra(experts=768),
}
IMPORTANCE_MATRIX = {("granite-4.0-h-1b", "Q4_0"), ("qwen3-30b-a3b-instruct-2507", "Q4_0")}
PUBLISHERS_OWN = {("qwen3-30b-a3b-instruct-2507", "Q3_K_S")}


def block(name: str, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    shape, extra = CATALOG.find(name).entry.shape(), EXTRA[name]
    embd, kv = shape.n_embd, shape.n_head_kv[layer]
    yield "attn_norm.weight", (embd,)
    if shape.arch != "nemotron_h":
        yield "ffn_norm.weight", (embd,)
    leading, dense = extra.dense
    ff = 0 if extra.experts and layer >= leading else dense or shape.n_ff[layer]
    if kv:
        queries, keys = shape.n_head[layer] * shape.key_length, kv * shape.key_length
        yield from (("attn_q.weight", (embd, queries)), ("attn_k.weight", (embd, keys)))
        yield from (("attn_v.weight", (embd, keys)), ("attn_output.weight", (queries, embd)))
        if shape.arch in ATTENTION_ONLY_QK_NORM:
            yield from (("attn_q_norm.weight", (shape.key_length,)), ("attn_k_norm.weight", (shape.key_length,)))
    elif shape.arch == "lfm2moe":
        yield from (("shortconv.conv.weight", (3, embd)), ("shortconv.in_proj.weight", (embd, 3 * embd)))
        yield "shortconv.out_proj.weight", (embd, embd)
    elif shape.arch != "nemotron_h" or not ff:
        wide = extra.inner + 2 * extra.groups * extra.state
        yield "ssm_in.weight", (embd, extra.inner + wide + extra.heads)
        yield from (("ssm_conv1d", (4, wide)), ("ssm_conv1d.bias", (wide,)), ("ssm_dt.bias", (extra.heads,)))
        yield from (("ssm_a", (1, extra.heads)), ("ssm_d", (1, extra.heads)))
        yield "ssm_norm.weight", (extra.inner // extra.groups, extra.groups)
        yield "ssm_out.weight", (extra.inner, embd)
    if ff:
        if shape.arch != "nemotron_h":
            yield "ffn_gate.weight", (embd, ff)
        yield from (("ffn_down.weight", (ff, embd)), ("ffn_up.weight", (embd, ff)))
    if extra.experts and layer >= leading:
        width, count = extra.experts, shape.n_expert
        yield from (("ffn_gate_inp", (embd, count)), ("ffn_gate_exps.weight", (embd, width, count)))
        yield from (("ffn_down.weight", (width, embd, count)), ("ffn_up_exps.weight", (embd, width, count)))
        if shape.arch == "lfm2moe":
            yield "exp_probs_b.bias", (count,)
        if extra.shared:
            yield from (("ffn_gate_shexp.weight", (embd, extra.shared)), ("ffn_down.weight", (extra.shared, embd)))
            yield "ffn_up_shexp.weight", (embd, extra.shared)


def tensors(name: str, quant: str) -> list[PlannedTensor]:
    shape = CATALOG.find(name).entry.shape()
    layout: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (shape.n_embd, shape.n_vocab))]
    layout.append(("output_norm.weight", (shape.n_embd,)))
    if not shape.tied_embeddings:
        layout.append(("output.weight", (shape.n_embd, shape.n_vocab)))
    layout += [(f"blk.{layer}.{part}", dims) for layer in range(shape.n_layer) for part, dims in block(name, layer)]
    n_downs = sum(".ffn_down." in part for part, _ in layout)
    n_values = sum(".attn_v." in part for part, _ in layout)
    # Of a mixture the quantizer counts layers, of a dense model ffn_down tensors.
    counted = shape.n_layer if shape.n_expert else n_downs
    rules = _Rules(quant, counted, n_values, shape.tied_embeddings, (name, quant) in IMPORTANCE_MATRIX, old=False)
    values = downs = 0
    found = []
    for part, dims in layout:
        layer = int(part.split(".")[1]) if part.startswith("blk.") else 0
        is_raw = any(each in part for each in ("gate_inp", "conv1d", "ssm_a", "ssm_d", "norm")) or len(dims) < 2
        kind = "F32" if is_raw else rules.kind(part, dims, values, layer if shape.n_expert else downs)
        found.append(PlannedTensor(part, dims, kind))
        values += ".attn_v." in part
        downs += ".ffn_down." in part
    return found


@pytest.mark.parametrize("name", EXTRA)
def test_sizes_leave_the_metadata_of_one_tokenizer(name: str) -> None:
    entry = CATALOG.find(name).entry
    rests = {
        quant: file.bytes - sum(each.nbytes for each in tensors(name, quant))
        for quant, file in entry.files.items()
        if file.source != "rounded" and (name, quant) not in PUBLISHERS_OWN
    }
    assert rests
    least, most = (figure * entry.shape().n_vocab for figure in METADATA_BYTES_PER_TOKEN)
    assert all(least <= rest <= most for rest in rests.values())
    assert max(rests.values()) - min(rests.values()) <= 16 * 1024


@pytest.mark.parametrize("name", EXTRA)
def test_parameters_are_as_many_as_published(name: str) -> None:
    counted = sum(math.prod(each.dims) for each in tensors(name, "Q8_0"))
    assert counted == CATALOG.find(name).entry.params


def test_every_size_is_recomputed_or_a_listing_has_it() -> None:
    """What no test computes comes from a listing, exactly or rounded to a bound."""
    for entry in CATALOG:
        for quant, file in entry.files.items():
            is_recomputed = entry.name in EXTRA or (quant in QUANTS and entry.rules(quant) is not None)
            assert is_recomputed or file.source != "computed", f"{entry.name}:{quant}"
            assert file.uncertainty <= 0.025 * file.bytes or file.bytes < 1e9, f"{entry.name}:{quant}"


def test_an_entry_has_a_revision_unless_other_repositories_have_its_files() -> None:
    """Those have none where no source tells it; a pull pins what the hub answers then."""
    for entry in CATALOG:
        assert entry.revision or entry.superseded_by or all(file.repo for file in entry.files.values()), entry.name
