"""The published speed rows, and for each what the speed model needs to know; exclusions are named, never silent."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgechat.models.planning.speed_model import Work
from scripts.speed_model.speed_row_models import MODELS, READ_BYTES, quant_of, read_bytes, types_of

TSV = Path(__file__).parents[2] / "tests" / "models" / "planning" / "published" / "board_speeds.tsv"

EXCLUDED_USE = {
    "cliff": "the file is larger than the free RAM: the RAM cliff, not a speed of the board",
    "sweep": "fewer threads than the best of the same run",
    "contra": "contradicted by the same author or by a sister board (NX of one author, ROCK whole-library pass)",
    "low": "second-hand, read off a chart, or a slip of the engine (Ollama 2.8x below llama.cpp on the same file)",
    "e2e": "tokens over the whole request, not decode",
    "other": "prefill of a short prompt, or MLX",
    "old": "kernels before ARM repacking, 2024",
    "thermal": "with and without fan, a pair about cooling",
    "lowmode": "AGX Orin in an untold low power mode",
    "unnamed": "the board is not named",
    "norepack": "repacking switched off",
    "shortprompt": "prompt of a few tokens",
    "long": "prompt of 4096 (judged apart, below)",
    "chat": "chat turns at an untold depth",
}
EXCLUDED_ROWS = {
    "B025": "Orion O6 3B 9.33 on early firmware against 16.49 (B026) on 9.0.0: the later firmware counts",
}
"""Rows with use=main that are left out of fit and score. Kept although contradicted: B014/B017/B020 (Pi 5 8B 1.87 to
2.17, within 25 %), B078/B082 (Pi 5 Qwen3.5-2B 7.8 and 9.34), B388 (N100, a midpoint of 3 to 6)."""

MODES_ASSUMED = {"Jetson Orin Nano 8GB": "15W", "Jetson AGX Orin 64GB": "MAXN", "RK3588 (Rockchip reference)": ""}
"""Power mode of rows that do not tell it: the module's default before JetPack 6.1 (15 W), MAXN for AGX."""

_SOC = {
    "Raspberry Pi 5": "pi5", "Raspberry Pi 500": "pi5", "Raspberry Pi 500+": "pi5", "Raspberry Pi CM5": "pi5",
    "Raspberry Pi 4B": "pi4", "Raspberry Pi 400": "pi4", "Raspberry Pi Zero 2 W": "pi-zero-2w",
    "Minisforum MS-R1 (CIX CP8180)": "cix-p1", "Radxa Orion O6 (CIX P1)": "cix-p1",
    "CIX CP8180 (MetaComputing AI PC)": "cix-p1", "Intel N150 (GMKtec G3 Plus)": "n150",
    "Intel N100 (AWOW AK-10)": "n100", "Intel N100 (ThinkCentre mini)": "n100", "Radxa ROCK 5B+ (RK3588)": "rk3588",
    "RK3588 (Rockchip reference)": "rk3588", "RK3576 (Rockchip reference)": "rk3576",
    "RK3562 (Rockchip reference)": "rk3562", "Jetson Orin Nano 8GB": "orin-nano-8gb",
    "Jetson AGX Orin 64GB": "agx-orin-64gb",
    "Jetson Nano 4GB (Maxwell)": "jetson-nano-4gb", "Intel Core i5-9500 (OptiPlex 5070)": "i5-9500",
    "Intel Core i5-1135G7": "i5-1135g7", "Intel Core i7-8550U": "i7-8550u", "Apple M4 (Mac mini, 10-core GPU)": "m4",
    "Apple M1 (MacBook Air, 7-core GPU)": "m1", "Apple M2 (machine not stated)": "m2",
    "Apple A18 Pro (MacBook Neo)": "a18-pro",
    "Radxa Dragon Q8B": "dragon-q8b", "Radxa Dragon Q6A": "dragon-q6a", "SiFive HiFive Premier P550": "p550",
    "DC-ROMA RISC-V Mainboard II": "p550",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One published measurement, resolved."""

    id: str
    board: str
    model: str
    quant: str
    platform: str
    """``soc/way@mode``: key of the constants."""
    engine: str
    """Engine factor key; "" is llama.cpp."""
    work: Work
    depth: int
    prompt: int
    decode: float | None
    prefill: float | None
    use: str

    @property
    def fold(self) -> int:
        """0, 1 or 2 from the hash of board and model: whole combinations stay together; 0 is held out."""
        return int(hashlib.sha256(f"{self.board}|{self.model}".encode()).hexdigest(), 16) % 3


def board_with(soc: str) -> str | None:
    """The first name that rows have for a board with this system on chip; None for one that nobody entered."""
    return next((board for board, chip in _SOC.items() if chip == soc), None)


def _mode(board: str, text: str) -> str:
    if board == "RK3588 (Rockchip reference)":
        return "max"
    if "Orin" not in board:
        return ""
    found = re.search(r"7W|15W|25W|MAXN", text)
    return found.group() if found else MODES_ASSUMED.get(board, "")


def _way(board: str, backend: str) -> tuple[str, str]:
    """Way (what computes) and engine."""
    low = backend.lower()
    if "rkllm" in low:
        return "npu", ""
    if "mlc" in low:
        return "mlc", ""
    if "metal" in low or "A18" in board:
        return "metal", "ollama-gpu" if "ollama metal" in low else ""
    if "cuda" in low:
        return "cuda", "ollama-gpu" if "ollama" in low else ""
    if "blas" in low:
        return "blas", ""
    for name in ("llamafile", "mnn", "litert", "vllm.cpp", "bitnet", "rustllm", "ik_llama", "ollama cpu"):
        if name in low:
            return "cpu", name.replace(" cpu", "")
    return "cpu", "ollama" if "obench" in low else ""


def _repacked(built: str, quant: str) -> bool:
    """Whether the build repacked weights on ARM: Q4_0_4_4 files by themselves, the rest since 2025."""
    year = re.search(r"20\d\d", built)
    return "4_0_4_4" in quant or not (year and int(year.group()) < 2025)


def load(path: Path = TSV, *, every: bool = False) -> list[Row]:
    """The rows to fit and score (``every``: all that resolve, whatever their use)."""
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            main = line["use"] in ("main", "main-decode") and line["id"] not in EXCLUDED_ROWS
            if (main or every) and line["model"] in MODELS:
                rows.append(_row(line))
    return rows


def _row(line: dict[str, str]) -> Row:
    board, model, shape = line["board"], line["model"], MODELS[line["model"]]
    quant = quant_of(line["quant"])
    basis, size = line["active_gb_basis"], float(line["active_gb"] or 0) * 1e9
    if (model, line["quant"]) in READ_BYTES:
        read = READ_BYTES[model, line["quant"]]
    elif basis == "source file size" and size:
        # bartowski's Qwen3-0.6B/1.7B carry an output matrix although tied: seen by the size.
        twice = not shape.tied or size > 1.12 * read_bytes(shape, quant)
        read = read_bytes(shape, quant, size, file_has_output=twice)
    elif "embedding not read" in basis:
        read = size
    else:
        read = read_bytes(shape, quant)
    way, engine = _way(board, line["backend"])
    mode = _mode(board, line["power_mode"])
    text = line["prompt_len"]
    prompt = int(text) if text.isdigit() else 512
    # The Orin rows decode behind the prompt; llama-bench's tg128 and short chats at next to no depth.
    depth = prompt if "depth" in line["note"] and text.isdigit() else 0
    kv = 4 * shape.kv_width * shape.n_attn
    work = Work(
        read_bytes=read,
        kv_bytes=kv,
        params=shape.active,
        attention=4 * shape.q_width * shape.n_attn,
        window=shape.window,
        types=types_of(shape, quant),
        kind=shape.kind,
        repacked=_repacked(line["build_or_date"], line["quant"]),
    )
    return Row(
        id=line["id"], board=board, model=model, quant=line["quant"], engine=engine, work=work,
        depth=depth, prompt=prompt,
        platform=f"{_SOC.get(board, board)}/{way}" + (f"@{mode}" if mode else ""),
        decode=float(line["decode_tok_s"]) if line["decode_tok_s"] else None,
        prefill=float(line["prefill_tok_s"]) if line["prefill_tok_s"] and line["use"] != "main-decode" else None,
        use=line["use"],
    )  # fmt: skip
