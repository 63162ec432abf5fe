"""Repacking: the tensors that the CPU backend copies into its own SIMD layout, by processor.

Read in ``ggml/src/ggml-cpu/repack.cpp`` (``ggml_repack_get_optimal_repack_type``) and ``llama-model-loader.cpp``
(``create_tensor``) of llama-cpp-python 0.3.36. KleidiAI and AMX, which repack other types, are not in edgechat's
builds: KleidiAI is off by default, and ``scripts/bootstrap/llama_wheel.py`` switches AMX off on processors that have
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# Type -> multiples that the number of rows must have, by the feature that brings the kernel.
_KERNELS: dict[str, dict[str, int]] = {
    "avx2": {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8},
    "avx512": {"Q2_K": 8},
    "i8mm": {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "Q8_0": 4, "Q1_0": 4},
    "dotprod": {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4, "Q1_0": 4},
}
_SAME = {"avx512f": "avx512", "asimddp": "dotprod"}

# Rows of these are looked up, not multiplied; no kernel looks up rows in a repacked tensor.
_LOOKED_UP = ("token_embd.weight", "per_layer_token_embd.weight")


def is_repacked(name: str, dims: tuple[int, ...], kind: str, features: Collection[str]) -> bool:
    """Whether the CPU backend repacks a tensor when ``use_extra_bufts`` is on.

    Args:
        name: the tensor's name. A tied output matrix is asked about as ``output.weight``: llama.cpp then loads the
            embedding a second time to repack it.
        dims: elements, fastest dimension first.
        kind: ggml type, ``Q4_K``.
        features: SIMD features of the processor as ``Board`` or /proc/cpuinfo names them.
    """
    if name in _LOOKED_UP or not name.endswith(".weight"):
        return False
    # Matrices are multiplied by MUL_MAT; of the 3-D tensors only experts are, by MUL_MAT_ID.
    if len(dims) != 2 and not (len(dims) == 3 and "_exps." in name):
        return False
    for feature in features:
        rows = _KERNELS.get(_SAME.get(feature, feature), {}).get(kind, 0)
        if rows and dims[1] % rows == 0:
            return True
    return False
