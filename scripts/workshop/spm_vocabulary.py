"""Train a SentencePiece vocabulary of the kind Llama 2 and TinyLlama have, and give it as GGUF metadata.

The corpus is the text every Python carries (the sources of its standard library) and a few lines in other scripts:
no download, and the same vocabulary for the same Python. Knows nothing of tensors.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CORPUS_BYTES = 12_000_000
_OTHER_SCRIPTS = (
    "東京の天気は晴れです。車間距離が短いので、減速してください。",
    "Der Sensor meldet eine Überhitzung; bitte prüfen Sie die Lüftung.",
    "Le capteur signale une température élevée à l'étage supérieur.",
    "Датчик сообщает о перегреве, проверьте вентиляцию.",  # noqa: RUF001
    "传感器报告温度过高，请检查通风。",
)
# llama_token_type (llama.h)
_NORMAL, _UNKNOWN, _CONTROL, _UNUSED, _BYTE = 1, 2, 3, 5, 6


def train(path: Path, n_vocab: int, lines: Iterable[str] | None = None) -> None:
    """Write a byte-fallback BPE model of ``n_vocab`` pieces to ``path`` (about a minute).

    Args:
        path: where the ``.model`` file goes.
        n_vocab: pieces wanted, the 256 bytes and three special ones included.
        lines: the corpus, when it is not to be the usual one.
    """
    import sentencepiece

    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_corpus() if lines is None else lines),
            model_writer=file,
            model_type="bpe",
            vocab_size=n_vocab,
            # As Llama 2's tokenizer was trained: nothing is normalized away, and no byte is unknown.
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            character_coverage=0.9995,
            minloglevel=2,
        )
    partial.rename(path)


def spm_metadata(path: Path, n_vocab: int) -> dict[str, Any]:
    """The ``tokenizer.ggml.*`` fields of the vocabulary at ``path``, trained first when it is missing."""
    import sentencepiece

    if not path.exists():
        train(path, n_vocab)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = range(pieces.vocab_size())
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [pieces.id_to_piece(i) for i in ids],
        "tokenizer.ggml.scores": [pieces.get_score(i) for i in ids],
        "tokenizer.ggml.token_type": [_token_type(pieces, i) for i in ids],
        "tokenizer.ggml.bos_token_id": pieces.bos_id(),
        "tokenizer.ggml.eos_token_id": pieces.eos_id(),
        "tokenizer.ggml.unknown_token_id": pieces.unk_id(),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
    }


def _token_type(pieces: Any, i: int) -> int:  # noqa: ANN401 - sentencepiece ships no types
    if pieces.is_unknown(i):
        return _UNKNOWN
    if pieces.is_control(i):
        return _CONTROL
    if pieces.is_unused(i):
        return _UNUSED
    return _BYTE if pieces.is_byte(i) else _NORMAL


def _corpus() -> Iterator[str]:
    size = 0
    # Often enough that their characters count as seen, and their words become pieces.
    for line in _OTHER_SCRIPTS * 50:
        yield line
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            size += len(line)
            yield line
        if size > _CORPUS_BYTES:
            return
