"""What the name of a GGUF file says: part of a split model, projector, quantization; and which names any disk takes."""

from __future__ import annotations

import re

from edgechat.models.catalog.names import QUANT_PATTERN

_SHARD = re.compile(r"-\d{5}-of-\d{5}(\.gguf)?$")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.gguf")
_QUANT = re.compile(rf"[.-]({QUANT_PATTERN})\.gguf$", re.IGNORECASE)


def is_shard(name: str) -> bool:
    """Whether ``name`` is that of one part of a split model, with or without its suffix."""
    return _SHARD.search(name) is not None


def is_model_file(path: str) -> bool:
    """Whether a whole model can be expected in this file: a GGUF that is neither a projector nor a part."""
    return path.lower().endswith(".gguf") and "mmproj" not in path.lower() and not is_shard(path)


def is_safe(name: str) -> bool:
    """Whether every file system takes ``name`` as it is, and it stays in its directory."""
    return _SAFE.fullmatch(name) is not None


def safe_file_name(name: str, fallback: str) -> str:
    """The last part of the path ``name`` when it is safe, else ``fallback``."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return last if is_safe(last) else fallback


def quant_in(path: str) -> str:
    """The quantization that a file's name ends with, in upper case; ``""`` when it names none."""
    match = _QUANT.search(path)
    return match[1].upper() if match else ""
