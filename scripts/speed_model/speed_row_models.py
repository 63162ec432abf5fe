"""The models of the published speed rows: their shapes, and the bytes and arithmetic that one token of them asks for.

All figures are those of the published config.json of each model. ``source`` is ``catalog`` where ``models.toml`` has
the same figures, whose parameters a test counts again, and ``config`` where the table's author knows the config and the
total agrees with the rows' own column.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One model. Parameters are counts, not billions."""

    params: int
    """All parameters of the language model (vision and audio towers out)."""
    n_layer: int
    n_embd: int
    n_vocab: int
    tied: bool
    """The output matrix is the embedding matrix."""
    attn_layers: int
    """Layers that attend over the context (hybrids: few); 0 means all."""
    q_width: int
    """Heads x key length: width of the queries of one layer."""
    kv_width: int
    """KV heads x key length of one layer."""
    source: str
    kind: str = "dense"
    """``dense``, ``moe``, ``deltanet`` (Qwen3.5), ``gemma2``, ``gemma3n``, ``ple`` (Gemma 4 E)."""
    active_body: int = 0
    """MoE: non-embedding parameters one token uses; 0: all of them."""
    lookup: int = 0
    """Parameters in per-layer embedding tables, of which a token reads a row."""
    window: int = 0
    """Tokens most layers look back at (sliding); 0: all."""

    @property
    def embedding(self) -> int:
        """Parameters of one embedding matrix."""
        return self.n_embd * self.n_vocab

    @property
    def body(self) -> int:
        """Non-embedding parameters of the whole file, lookup tables out."""
        return self.params - self.embedding * (1 if self.tied else 2) - self.lookup

    @property
    def active(self) -> int:
        """Non-embedding parameters one token uses."""
        return self.active_body or self.body

    @property
    def n_attn(self) -> int:
        """Layers that attend over the context."""
        return self.attn_layers or self.n_layer


_C, _K = "catalog", "config"
MODELS: dict[str, Shape] = {
    "SmolLM2-135M": Shape(134_515_008, 30, 576, 49152, True, 0, 576, 192, _C),
    "SmolLM2-360M": Shape(361_821_120, 32, 960, 49152, True, 0, 960, 320, _C),
    "SmolLM-360M": Shape(361_821_120, 32, 960, 49152, True, 0, 960, 320, _C),
    "SmolLM2-1.7B": Shape(1_711_376_384, 24, 2048, 49152, True, 0, 2048, 2048, _C),
    "Gemma-3-270M": Shape(268_098_176, 18, 640, 262144, True, 0, 1024, 256, _C, window=512),
    "Gemma-3-1B": Shape(999_885_952, 26, 1152, 262144, True, 0, 1024, 256, _C, window=512),
    "Gemma-3-4B": Shape(3_880_263_168, 34, 2560, 262208, True, 0, 2048, 1024, _C, window=1024),
    "Gemma-2-2B": Shape(2_614_341_888, 26, 2304, 256000, True, 0, 2048, 1024, _C, "gemma2"),
    "Gemma-2-9B": Shape(9_241_705_984, 42, 3584, 256000, True, 0, 4096, 2048, _K, "gemma2"),
    "Gemma-3n-E2B": Shape(4_460_000_000, 30, 2048, 262400, True, 0, 2048, 512, _K, "gemma3n", lookup=2_013_265_920),
    "Gemma-4-E2B": Shape(
        4_647_450_147, 35, 1536, 262144, True, 0, 2048, 256, _C, "ple", lookup=2_348_810_240, window=512
    ),
    "Gemma-4-E4B": Shape(
        7_518_069_290, 42, 2560, 262144, True, 0, 2048, 512, _C, "ple", lookup=2_818_572_288, window=512
    ),
    "Gemma-4-26B-A4B": Shape(
        25_200_000_000, 30, 2816, 262144, True, 0, 4096, 2048, _K, "moe", active_body=3_060_000_000, window=1024
    ),
    "Qwen2-0.5B": Shape(494_032_768, 24, 896, 151936, True, 0, 896, 128, _C),
    "Qwen2.5-0.5B": Shape(494_032_768, 24, 896, 151936, True, 0, 896, 128, _C),
    "Qwen2.5-1.5B": Shape(1_543_714_304, 28, 1536, 151936, True, 0, 1536, 256, _C),
    "Qwen2.5-Coder-1.5B": Shape(1_543_714_304, 28, 1536, 151936, True, 0, 1536, 256, _C),
    "DeepSeek-R1-Distill-Qwen-1.5B": Shape(1_777_088_000, 28, 1536, 151936, False, 0, 1536, 256, _C),
    "Qwen2.5-3B": Shape(3_085_938_688, 36, 2048, 151936, True, 0, 2048, 256, _C),
    "Qwen2.5-Coder-3B": Shape(3_085_938_688, 36, 2048, 151936, True, 0, 2048, 256, _C),
    "Qwen2.5-7B": Shape(7_615_616_512, 28, 3584, 152064, False, 0, 3584, 512, _C),
    "DeepSeek-R1-Distill-Qwen-7B": Shape(7_615_616_512, 28, 3584, 152064, False, 0, 3584, 512, _C),
    "Qwen2.5-14B": Shape(14_770_033_664, 48, 5120, 152064, False, 0, 5120, 1024, _C),
    "DeepSeek-R1-Distill-Qwen-14B": Shape(14_770_033_664, 48, 5120, 152064, False, 0, 5120, 1024, _C),
    "Qwen3-0.6B": Shape(596_049_920, 28, 1024, 151936, True, 0, 2048, 1024, _C),
    "Qwen3-1.7B": Shape(1_720_574_976, 28, 2048, 151936, True, 0, 2048, 1024, _C),
    "Qwen3-4B": Shape(4_022_468_096, 36, 2560, 151936, True, 0, 4096, 1024, _C),
    "Qwen3-4B-2507": Shape(4_022_468_096, 36, 2560, 151936, True, 0, 4096, 1024, _C),
    "Qwen3-8B": Shape(8_190_735_360, 36, 4096, 151936, False, 0, 4096, 1024, _C),
    "Qwen3-30B-A3B": Shape(30_532_122_624, 48, 2048, 151936, False, 0, 4096, 512, _K, "moe", active_body=2_730_000_000),
    "Qwen3-30B-A3B-2507": Shape(
        30_532_122_624, 48, 2048, 151936, False, 0, 4096, 512, _K, "moe", active_body=2_730_000_000
    ),
    "Qwen3.5-0.8B": Shape(752_393_024, 24, 1024, 248320, True, 6, 2048, 512, _C, "deltanet"),
    "Qwen3.5-2B": Shape(1_881_825_088, 24, 2048, 248320, True, 6, 2048, 512, _C, "deltanet"),
    "Qwen3.5-4B": Shape(4_205_751_296, 32, 2560, 248320, True, 8, 4096, 1024, _C, "deltanet"),
    "Qwen3.5-9B": Shape(8_953_803_264, 32, 4096, 248320, False, 8, 4096, 1024, _C, "deltanet"),
    "Llama-3.2-1B": Shape(1_235_814_400, 16, 2048, 128256, True, 0, 2048, 512, _C),
    "Llama-3.2-3B": Shape(3_212_749_888, 28, 3072, 128256, True, 0, 3072, 1024, _C),
    "Llama-3-8B": Shape(8_030_261_248, 32, 4096, 128256, False, 0, 4096, 1024, _C),
    "Llama-3.1-8B": Shape(8_030_261_248, 32, 4096, 128256, False, 0, 4096, 1024, _C),
    "DeepSeek-R1-Distill-Llama-8B": Shape(8_030_261_248, 32, 4096, 128256, False, 0, 4096, 1024, _C),
    "LLaMA-7B": Shape(6_738_415_616, 32, 4096, 32000, False, 0, 4096, 4096, _K),
    "Llama-2-7B": Shape(6_738_415_616, 32, 4096, 32000, False, 0, 4096, 4096, _K),
    "Llama-2-13B": Shape(13_015_864_320, 40, 5120, 32000, False, 0, 5120, 5120, _K),
    "TinyLlama-1.1B": Shape(1_100_048_384, 22, 2048, 32000, False, 0, 2048, 256, _C),
    "LFM2-350M": Shape(354_483_968, 16, 1024, 65536, True, 6, 1024, 512, _C),
    "LFM2-700M": Shape(742_489_344, 16, 1536, 65536, True, 6, 1536, 512, _C),
    "LFM2.5-1.2B": Shape(1_170_340_608, 16, 2048, 65536, True, 6, 2048, 512, _C),
    "Phi-3-mini": Shape(3_821_079_552, 32, 3072, 32064, False, 0, 3072, 3072, _C),
    "Phi-3.5-mini": Shape(3_821_079_552, 32, 3072, 32064, False, 0, 3072, 3072, _C),
    "Stable-Code-3B": Shape(2_795_443_200, 32, 2560, 50304, False, 0, 2560, 2560, _K),
    "Yi-Coder-1.5B": Shape(1_476_493_312, 24, 2048, 64000, False, 0, 2048, 2048, _K),
    "Yi-1.5-6B": Shape(6_061_035_520, 32, 4096, 64000, False, 0, 4096, 512, _K),
    "MPT-7B": Shape(6_649_286_656, 32, 4096, 50432, True, 0, 4096, 4096, _K),
    "BitNet-b1.58-2B-4T": Shape(2_412_820_480, 30, 2560, 128256, True, 0, 2560, 640, _K),
    "MiniCPM4-0.5B": Shape(433_620_992, 24, 1024, 73448, True, 0, 1024, 128, _K),
    "MiniCPM4.1-8B": Shape(8_190_000_000, 32, 4096, 73448, False, 0, 4096, 256, _K),
    "Aya-Expanse-8B": Shape(8_028_033_024, 32, 4096, 256000, True, 0, 4096, 1024, _K),
    "DeepSeek-V2-Lite": Shape(
        15_706_484_224, 27, 2048, 102400, False, 0, 3072, 576, _K, "moe", active_body=2_240_000_000
    ),
    "Nemotron-Mini-4B": Shape(4_190_000_000, 32, 3072, 256000, False, 0, 3072, 1024, _K),
}


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits per weight of a quantization; ``odd_*`` where rows are no multiple of 256 and K-quants fall back."""

    body: float
    head: float
    odd_body: float
    odd_head: float


# Averages over the mixes llama-quant.cpp makes (catalog_facts.md, section 2); exact figures need the file's header.
QUANTS: dict[str, Bits] = {
    "Q4_K_M": Bits(4.80, 6.56, 5.50, 8.5),
    "Q4_K_S": Bits(4.55, 6.56, 5.50, 8.5),
    "UD-Q4_K_XL": Bits(5.05, 6.56, 5.50, 8.5),
    "4-bit": Bits(4.80, 6.56, 5.50, 8.5),
    "Q4_0": Bits(4.52, 6.56, 4.52, 8.5),
    "Q4_0_4_4": Bits(4.50, 6.56, 4.50, 8.5),
    "Q4_1": Bits(5.00, 6.56, 5.00, 8.5),
    "IQ4_NL": Bits(4.50, 6.56, 4.60, 8.5),
    "IQ4_XS": Bits(4.30, 6.56, 4.60, 8.5),
    "UD-IQ4_NL": Bits(4.30, 6.56, 4.60, 8.5),
    "Q5_K": Bits(5.60, 6.56, 6.00, 8.5),
    "Q5_K_M": Bits(5.65, 6.56, 6.00, 8.5),
    "Q6_K": Bits(6.56, 6.56, 8.30, 8.5),
    "Q8_0": Bits(8.50, 8.50, 8.50, 8.5),
    "Q8_K_XL": Bits(10.5, 10.5, 10.5, 10.5),
    "Q3_K_M": Bits(3.95, 6.56, 4.65, 8.5),
    "IQ3_M": Bits(3.70, 6.56, 4.40, 8.5),
    "IQ2_XXS": Bits(2.30, 5.50, 3.00, 8.5),
    "2.70": Bits(2.70, 3.50, 2.70, 3.5),
    "3.87": Bits(3.75, 5.00, 3.75, 5.0),
    "4.74": Bits(4.65, 5.60, 4.65, 5.6),
    "q4f16": Bits(4.50, 4.50, 4.50, 4.5),
    "w4a16": Bits(4.30, 4.30, 4.30, 4.3),
    "w8a8": Bits(8.10, 8.10, 8.10, 8.1),
    "HQQ": Bits(4.50, 4.50, 4.50, 4.5),
    "LiteRT": Bits(4.50, 4.50, 4.50, 4.5),
    "i2_s": Bits(2.00, 16.0, 2.00, 16.0),
}

_TYPES: dict[str, tuple[tuple[str, float], ...]] = {
    "Q4_K_M": (("q4_k", 0.85), ("q6_k", 0.15)),
    "4-bit": (("q4_k", 0.85), ("q6_k", 0.15)),
    "UD-Q4_K_XL": (("q4_k", 0.8), ("q6_k", 0.2)),
    "Q5_K_M": (("q5_k", 0.85), ("q6_k", 0.15)),
    "Q3_K_M": (("q3_k", 0.6), ("q4_k", 0.4)),
    "IQ3_M": (("iq3", 0.7), ("q4_k", 0.3)),
    "IQ2_XXS": (("iq3", 1.0),),
    "2.70": (("q3_k", 1.0),),
    "Q4_K_S": (("q4_k", 1.0),), "3.87": (("q4_k", 1.0),), "4.74": (("q5_k", 1.0),), "IQ4_XS": (("iq4_xs", 1.0),),
    "Q4_0_4_4": (("q4_0", 1.0),), "UD-IQ4_NL": (("iq4_nl", 1.0),), "Q8_K_XL": (("q8_0", 1.0),),
    "q4f16": (("q4_0", 1.0),), "HQQ": (("q4_0", 1.0),), "LiteRT": (("q4_0", 1.0),), "Q5_K": (("q5_k", 1.0),),
}  # fmt: skip
_ODD = {
    "Q4_K_M": (("q5_0", 0.62), ("q4_k", 0.2), ("q6_k", 0.18)),
    "Q5_K_M": (("q5_1", 0.62), ("q5_k", 0.2), ("q6_k", 0.18)),
    "Q6_K": (("q8_0", 0.62), ("q6_k", 0.38)),
    "Q3_K_M": (("q4_0", 0.62), ("q4_k", 0.38)),
    "IQ3_M": (("iq4_nl", 0.62), ("iq3", 0.26), ("q4_k", 0.12)),
}
"""Where rows are no multiple of 256 the matrices that read them fall back; only ``ffn_down`` (about 0.38) does not."""


def types_of(shape: Shape, quant: str) -> tuple[tuple[str, float], ...]:
    """Share of the non-embedding weights by ggml type."""
    usual = _TYPES.get(quant, ((quant.lower(), 1.0),))
    return _ODD.get(quant, usual) if shape.n_embd % 256 else usual


READ_BYTES = {("Gemma-4-26B-A4B", "UD-IQ4_NL"): 2.85e9}
"""Where a uniform width is wrong: 12.48 GiB are experts at 3.94 bits (22.8 G weights) and the rest at 6 to 8 bits; of
the experts 8 of 128 are read."""


def quant_of(name: str) -> str:
    """The entry of ``QUANTS`` for a quantization as the tsv writes it."""
    for part in name.replace("(", " ").replace("ByteShape Q4_K_S", " ").replace("ByteShape Q5_K_S", " ").split():
        if part in QUANTS:
            return part
        if part.startswith(("q4f16", "INT4")):
            return "q4f16"
        if part.startswith("w8a8"):
            return "w8a8"
    return "Q4_K_M"


def read_bytes(
    shape: Shape, quant: str, file_bytes: float | None = None, *, file_has_output: bool | None = None
) -> float:
    """Bytes of weights that decoding one token reads.

    Args:
        shape: the model.
        quant: an entry of ``QUANTS``.
        file_bytes: the file's size where known (dense models only); metadata (35 bytes a vocabulary entry) and the
            embedding that is only looked up are taken off.
        file_has_output: the file stores an output matrix beside the embedding although the model is tied.
    """
    bits = QUANTS[quant]
    odd = shape.n_embd % 256 != 0
    body, head = (bits.odd_body, bits.odd_head) if odd else (bits.body, bits.head)
    if file_bytes is not None and shape.kind == "dense":
        twice = (not shape.tied) if file_has_output is None else file_has_output
        return file_bytes - 35 * shape.n_vocab - (shape.embedding * body / 8 if twice else 0)
    return shape.active * body / 8 + shape.embedding * head / 8
