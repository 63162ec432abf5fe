"""Make a projector (mmproj) of random weights: a CLIP image tower and LLaVA's two layers behind it.

    scripts/workshop/shape_projector.py MODEL.gguf OUT.gguf [--image 336 --layers 24 --width 1024 …]

It makes any model of the right width answer about images, with the time and memory of a real one and no sense: for
measurements and tests where no trained projector can be had. Sizes are CLIP ViT-L/14-336's, which LLaVA 1.5 uses;
names and keys are those of llama.cpp's ``tools/mtmd/clip-impl.h``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Tower:
    """An image tower's dimensions: pixels, pixels, layers, elements, heads, elements."""

    image: int = 336
    patch: int = 14
    n_layer: int = 24
    n_embd: int = 1024
    n_head: int = 16
    n_ff: int = 4096

    @property
    def n_tokens(self) -> int:
        """Embeddings that one image becomes."""
        return (self.image // self.patch) ** 2


def write(path: Path, tower: Tower, n_embd: int) -> Path:
    """Write a projector into a model of width ``n_embd``; returns ``path``."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_uint32("clip.vision.image_size", tower.image)
    writer.add_uint32("clip.vision.patch_size", tower.patch)
    writer.add_uint32("clip.vision.embedding_length", tower.n_embd)
    writer.add_uint32("clip.vision.feed_forward_length", tower.n_ff)
    writer.add_uint32("clip.vision.block_count", tower.n_layer)
    writer.add_uint32("clip.vision.attention.head_count", tower.n_head)
    writer.add_uint32("clip.vision.projection_dim", n_embd)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", list(_CLIP_MEAN))
    writer.add_array("clip.vision.image_std", list(_CLIP_STD))
    random = np.random.default_rng(0)

    def matrix(name: str, *shape: int) -> None:
        values = random.standard_normal(shape, dtype=np.float32) * 0.02
        writer.add_tensor(f"{name}.weight", values.astype(np.float16 if len(shape) == 2 else np.float32))

    def vector(name: str, size: int, value: float = 0.0) -> None:
        writer.add_tensor(name, np.full(size, value, dtype=np.float32))

    def norm(name: str) -> None:
        vector(f"{name}.weight", tower.n_embd, 1.0)
        vector(f"{name}.bias", tower.n_embd)

    matrix("v.patch_embd", tower.n_embd, 3, tower.patch, tower.patch)
    vector("v.class_embd", tower.n_embd)
    matrix("v.position_embd", tower.n_tokens + 1, tower.n_embd)
    norm("v.pre_ln")
    for i in range(tower.n_layer):
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            matrix(f"v.blk.{i}.{part}", tower.n_embd, tower.n_embd)
            vector(f"v.blk.{i}.{part}.bias", tower.n_embd)
        norm(f"v.blk.{i}.ln1")
        norm(f"v.blk.{i}.ln2")
        matrix(f"v.blk.{i}.ffn_up", tower.n_ff, tower.n_embd)
        vector(f"v.blk.{i}.ffn_up.bias", tower.n_ff)
        matrix(f"v.blk.{i}.ffn_down", tower.n_embd, tower.n_ff)
        vector(f"v.blk.{i}.ffn_down.bias", tower.n_embd)
    matrix("mm.0", n_embd, tower.n_embd)
    vector("mm.0.bias", n_embd)
    matrix("mm.2", n_embd, n_embd)
    vector("mm.2.bias", n_embd)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def width(model: Path) -> int:
    """The embedding length of a model, in elements."""
    reader = gguf.GGUFReader(model)
    arch = str(reader.fields["general.architecture"].contents())
    return int(reader.fields[f"{arch}.embedding_length"].contents())


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the GGUF file of the model that shall see")
    parser.add_argument("out", type=Path)
    real = Tower()
    for name, value in (
        ("image", real.image),
        ("patch", real.patch),
        ("layers", real.n_layer),
        ("width", real.n_embd),
        ("heads", real.n_head),
        ("ff", real.n_ff),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    tower = Tower(chosen.image, chosen.patch, chosen.layers, chosen.width, chosen.heads, chosen.ff)
    write(chosen.out, tower, width(chosen.model))
    print(f"{chosen.out}: {chosen.out.stat().st_size / 1e6:.0f} MB, {tower.n_tokens} tokens an image")


if __name__ == "__main__":
    main()
