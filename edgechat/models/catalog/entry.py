"""The strict schema of one entry of the catalog ``models.toml``.

``catalog.py`` reads the file. Importing this costs pydantic's 0.3 s (0.9 s on a Pi), so the client of a running engine
must not import it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from edgechat.errors import InvalidInputError, ModelNotFoundError
from edgechat.models.gguf.shape import ModelShape
from edgechat.sampling import Sampling

QUANTS = ("Q3_K_S", "Q3_K_M", "Q4_0", "Q4_1", "Q4_K_M", "Q8_0", "MXFP4")
"""The quantizations that catalog entries may list."""
FREE_LICENCES = frozenset({"Apache-2.0", "MIT"})
"""Licences that need no acceptance; only models under these are recommended by default."""
TIERS = (0.5, 1, 2, 4, 8, 16, 32)
"""Memory sizes of boards in GB, by which entries are grouped."""
COMPUTED_ERROR = 16 * 1024
"""Bytes by which a computed size may differ from the file's: padding and metadata, not tensors."""

# ISO 639-1, and the 639-3 codes that entries need. Listed, because a pattern would accept `jp` for Japanese.
_LANGUAGES = (
    " aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja "
    "jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb "
    "nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq "
    "sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo yue za zh zu "
)
_PROMPTS = frozenset({"translate", "translate_system", "translate_zh"})
_NAME = r"^[a-z0-9][a-z0-9.-]*$"
_REPO = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"


def _language(code: str) -> str:
    if f" {code} " not in _LANGUAGES:
        raise ValueError(f"{code!r} is not an ISO 639-1 code (Japanese is ja)")
    return code


def _tier(gigabytes: float) -> float:
    if gigabytes not in TIERS:
        raise ValueError(f"{gigabytes} is not one of {', '.join(map(str, TIERS))}")
    return gigabytes


def _quant(name: str) -> str:
    if name not in QUANTS:
        raise ValueError(f"{name!r} is not one of {', '.join(QUANTS)}")
    return name


def _file_name(name: str) -> str:
    parts = name.split("/")
    if not name.endswith(".gguf") or any(part in {"", ".", ".."} or "\\" in part for part in parts):
        raise ValueError(f"{name!r} is not the name of a GGUF file inside a repository")
    return name


Positive = Annotated[int, Field(gt=0)]
PerLayer = Positive | tuple[Annotated[int, Field(ge=0)], ...]
"""One number for all layers, or one for each."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Repo = Annotated[str, Field(pattern=_REPO)]
Quant = Annotated[str, AfterValidator(_quant)]
Layout = Literal["standard", "fused-qkv-2024", "own"]


class CatalogSchema(BaseModel):
    """Base of the schema: unknown fields and wrong types are refused, and objects cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CatalogFile(CatalogSchema):
    """One file of a model. ``repo`` and ``revision`` default to the entry's."""

    file: Annotated[str, AfterValidator(_file_name)]
    """Name inside the repository or the package."""
    bytes: Positive
    source: Literal["published", "computed", "rounded"]
    """``published``: the publisher's own figure. ``computed``: from the shape and llama.cpp's quantization rules.
    ``rounded``: published rounded, off by at most ``error``."""
    error: Positive | None = None
    sha256: Sha256 | None = None
    repo: Repo | None = None
    revision: Revision | None = None
    package: str | None = None
    """The Python package with the file, instead of a repository on the hub."""
    layout: Layout | None = None
    """How the tensors were quantized; defaults to the entry's."""
    quantization_aware: bool = False
    """The publisher trained the model for these 4 bits, so that they cost no quality."""

    @property
    def uncertainty(self) -> int:
        """Bytes by which the real file may differ from ``bytes``."""
        return {"published": 0, "computed": COMPUTED_ERROR, "rounded": self.error or 0}[self.source]

    @model_validator(mode="after")
    def _coherent(self) -> CatalogFile:
        if (self.error is not None) != (self.source == "rounded"):
            raise ValueError("error belongs to a rounded size, and a rounded size needs it")
        if (self.repo is None) == (self.package is None):
            raise ValueError("a file comes from a repo or from a package, and from one of them only")
        return self


class VisionFile(CatalogFile):
    """The projector (mmproj) with which a model reads images."""

    audio: bool = False
    """The projector reads sound as well."""


class ChatFormat(CatalogSchema):
    """Facts about the model's chat template, which is in the GGUF."""

    template: str
    """Name of the template's family, for readers: ``chatml``, ``llama3``, ``gemma`` …"""
    system_role: bool = True
    """False where the template has no system turn; a system text then goes into the first user turn."""
    thinking: Literal["never", "off", "on", "always"] = "never"
    """Whether answers start with reasoning by default; ``off`` and ``on`` can be switched."""
    thinking_off: dict[str, bool] = {}
    """Template variables that switch reasoning off, for JSON, translation and small boards."""

    @model_validator(mode="after")
    def _coherent(self) -> ChatFormat:
        if (self.thinking in {"off", "on"}) != bool(self.thinking_off):
            raise ValueError("thinking_off is needed where thinking can be switched, and only there")
        return self


class SamplingDefaults(CatalogSchema):
    """The author's sampling defaults, within the bounds of :class:`edgechat.sampling.Sampling`."""

    source: Literal["card", "remembered"]
    """``card``: read in the model card or generation config. ``remembered``: from memory, not checked."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None

    @model_validator(mode="after")
    def _is_in_bounds(self) -> SamplingDefaults:
        try:
            Sampling.from_dict(self.values())
        except InvalidInputError as error:
            raise ValueError(error.message) from error
        return self

    def values(self) -> dict[str, float]:
        """The given settings by name, without ``source``."""
        return {key: float(value) for key, value in self.model_dump(exclude={"source"}, exclude_none=True).items()}


class CatalogShape(CatalogSchema):
    """The fields of :class:`ModelShape`, with one number for all layers where they are equal."""

    arch: str
    n_layer: Positive
    n_embd: Positive
    n_ff: PerLayer
    n_head: PerLayer
    n_head_kv: PerLayer
    key_length: Positive
    value_length: Positive | None = None
    """Defaults to ``key_length``."""
    n_vocab: Positive
    n_ctx_train: Positive
    tied_embeddings: bool
    sliding_window: Annotated[int, Field(ge=0)] = 0
    sliding_pattern: Annotated[int, Field(ge=0)] = 0
    """Every Nth layer attends to the whole context and the others slide; 0 when none slides."""
    key_length_swa: Annotated[int, Field(ge=0)] = 0
    value_length_swa: Annotated[int, Field(ge=0)] = 0
    n_expert: Annotated[int, Field(ge=0)] = 0
    n_expert_used: Annotated[int, Field(ge=0)] = 0
    recurrent_bytes: Annotated[int, Field(ge=0)] = 0
    shared_kv_layers: Annotated[int, Field(ge=0)] = 0
    n_embd_per_layer: Annotated[int, Field(ge=0)] = 0
    n_loop: Positive = 1
    """Looped transformers: how often each block runs for one token. ``n_layer`` counts the passes."""

    @model_validator(mode="after")
    def _coherent(self) -> CatalogShape:
        for field in ("n_ff", "n_head", "n_head_kv"):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != self.n_layer:
                raise ValueError(f"{field} has {len(value)} numbers for {self.n_layer} layers")
        if bool(self.sliding_window) != bool(self.sliding_pattern):
            raise ValueError("sliding_window and sliding_pattern belong together")
        if self.n_expert_used > self.n_expert:
            raise ValueError("n_expert_used is more than n_expert")
        if self.n_layer % self.n_loop:
            raise ValueError("n_layer counts every pass of n_loop, so it must be a multiple of it")
        if self.shared_kv_layers >= self.n_layer:
            raise ValueError("shared_kv_layers leaves no layer that keeps KV")
        return self

    def expanded(self) -> ModelShape:
        """The shape with one number for each layer."""
        layers, full = range(self.n_layer), self.sliding_pattern
        return ModelShape(
            arch=self.arch,
            n_layer=self.n_layer,
            n_embd=self.n_embd,
            n_ff=self._per_layer(self.n_ff),
            n_head=self._per_layer(self.n_head),
            n_head_kv=self._per_layer(self.n_head_kv),
            key_length=self.key_length,
            value_length=self.value_length or self.key_length,
            n_vocab=self.n_vocab,
            n_ctx_train=self.n_ctx_train,
            tied_embeddings=self.tied_embeddings,
            sliding_window=self.sliding_window,
            # llama.cpp's set_swa_pattern(n): layer i slides where i % n < n - 1.
            sliding_layers=tuple(layer % full < full - 1 for layer in layers) if full else (),
            key_length_swa=self.key_length_swa,
            value_length_swa=self.value_length_swa or self.key_length_swa,
            n_expert=self.n_expert,
            n_expert_used=self.n_expert_used,
            recurrent_bytes=self.recurrent_bytes,
            shared_kv_layers=self.shared_kv_layers,
            n_embd_per_layer=self.n_embd_per_layer,
            n_loop=self.n_loop,
        )

    def _per_layer(self, value: int | tuple[int, ...]) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value,) * self.n_layer


class QuantRules(NamedTuple):
    """The publisher's two choices that change the quantizer's output; names as in ``quantized_sizes``."""

    imatrix: bool
    old_rules: bool


class CatalogEntry(CatalogSchema):
    """One model of the catalog."""

    name: Annotated[str, Field(pattern=_NAME, max_length=64)]
    purpose: Literal["chat", "translation", "embedding"] = "chat"
    superseded_by: Annotated[str, Field(pattern=_NAME)] | None = None
    """The name of a newer entry that does all this one does, in no more memory."""
    quality: Annotated[int, Field(ge=1, le=100)]
    """Order of preference, higher is better: the editors' judgement, explained at the head of ``models.toml``."""
    tier_gb: Annotated[float, AfterValidator(_tier)]
    """Memory of the smallest board for the model, in GB. Groups the list for readers; the fit does not use it."""
    params: Positive | None = None
    active_params: Positive | None = None
    """Parameters that one token uses, where these are fewer (mixtures of experts)."""
    licence: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or the licence's own name where it has none."""
    terms: Annotated[str, Field(pattern=r"^https://")] | None = None
    languages: Annotated[tuple[Annotated[str, AfterValidator(_language)], ...], Field(min_length=1)]
    """ISO 639-1 codes that the authors list; where they give only a number, the ones that edgechat's tasks need."""
    n_languages: Positive | None = None
    """Number of languages that the authors claim, where it is more than ``languages`` lists."""
    repo: Repo | None = None
    revision: Revision | None = None
    layout: Layout = "standard"
    """``standard``: llama-quantize's rules, so sizes can be computed. ``fused-qkv-2024``: the rules before 2025, which
    differ for fused attention. ``own``: the publisher's own mixture."""
    imatrix: bool = False
    """The publisher used an importance matrix, which makes the first layers of Q4_0 files larger."""
    n_ctx_max: Positive | None = None
    """The context length the model was trained for, where the file advertises more."""
    note: str = ""
    unverified: tuple[str, ...] = ()
    """Fields, as dotted names, without a source."""
    chat: ChatFormat
    sampling: SamplingDefaults | None = None
    prompts: dict[str, str] = {}
    """Prompts the model was trained on: ``translate`` with ``{text}`` and ``{target}``, its ``translate_system``, and
    ``translate_zh`` where either side is Chinese (``{target_zh}`` is the language's Chinese name)."""
    shape_: Annotated[CatalogShape, Field(alias="shape")]
    files: Annotated[dict[Quant, CatalogFile], Field(min_length=1)]
    vision: VisionFile | None = None

    @property
    def free(self) -> bool:
        """Whether the licence needs no acceptance (Apache-2.0 or MIT)."""
        return self.licence in FREE_LICENCES

    def shape(self) -> ModelShape:
        """The shape for planning before the file is downloaded."""
        return self.shape_.expanded()

    def file(self, quant: str) -> CatalogFile:
        """The file of one quantization, case ignored.

        Raises:
            ModelNotFoundError: the entry does not list it.
        """
        try:
            return self.files[quant.upper()]
        except KeyError:
            raise ModelNotFoundError(
                f"{self.name} has no {quant.upper()} in the catalog.",
                hint=f"It has {', '.join(sorted(self.files))}.",
            ) from None

    def rules(self, quant: str) -> QuantRules | None:
        """The arguments of ``quantized_sizes`` for one file, or None for the publisher's own mixture.

        Raises:
            ModelNotFoundError: the entry does not list that quantization.
        """
        layout = self.file(quant).layout or self.layout
        return None if layout == "own" else QuantRules(self.imatrix, layout == "fused-qkv-2024")

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, value: object) -> object:
        """Give every file without a repository or package the entry's repository and revision."""
        if not isinstance(value, dict):
            return value
        place = {key: value[key] for key in ("repo", "revision") if key in value}
        files, vision = value.get("files"), value.get("vision")
        result = dict(value)
        if isinstance(files, dict):
            result["files"] = {quant: _with_place(file, place) for quant, file in files.items()}
        if vision is not None:
            result["vision"] = _with_place(vision, place)
        return result

    @model_validator(mode="after")
    def _coherent(self) -> CatalogEntry:
        if not self.free and self.terms is None:
            raise ValueError(f"{self.licence} needs an acceptance, so terms must say where it can be read")
        if unknown := sorted(set(self.prompts) - _PROMPTS):
            raise ValueError(f"prompts has {', '.join(unknown)}, which is not used")
        if any("{text}" not in text for key, text in self.prompts.items() if key != "translate_system"):
            raise ValueError("a translation prompt needs {text}")
        if self.purpose == "translation" and "translate" not in self.prompts:
            raise ValueError("a translation model needs prompts.translate")
        for field in self.unverified:
            _must_exist(self, field)
        return self


def _with_place(file: Any, place: dict[str, Any]) -> Any:  # noqa: ANN401 - not validated yet
    if not isinstance(file, dict) or "repo" in file or "package" in file:
        return file
    return {**place, **file}


def _must_exist(entry: CatalogEntry, dotted: str) -> None:
    value: object = entry
    for key in dotted.split("."):
        name = "shape_" if key == "shape" else key
        value = value.get(key) if isinstance(value, dict) else getattr(value, name, None)
        if value is None or not re.fullmatch(r"\w+", key):
            raise ValueError(f"unverified names {dotted}, which the entry does not have")
