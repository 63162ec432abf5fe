"""Fit the constants of the speed model to two thirds of the published rows, and score the remaining third.

    python scripts/speed_model/fit_speed.py            print scores: held-out third, rotated thirds
    python scripts/speed_model/fit_speed.py --boards   and whole boards held out
    python scripts/speed_model/fit_speed.py --write    and write the constants into
                                                       edgechat/models/planning/speed_table.py

Needs numpy and scipy (pip install scipy); the product needs neither for this. All constants are fitted together on
logarithms with a robust loss; each has a wide prior from data sheets (bandwidth, cores x clock) or a neutral one (a
factor of 1), so that what few rows say little about stays near its prior, and boards share what they can: efficiency by
kind of memory and processor, FLOP per cycle by kind of arithmetic, factors of types and architectures. No prior was
taken from a row, but the form of the model was chosen by somebody who had seen all 275 of them.
"""

from __future__ import annotations

import collections
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import least_squares  # type: ignore[import-untyped,unused-ignore]

from edgechat.models.planning.speed_model import Arithmetic, Machine, decode_seconds, prefill_seconds
from scripts.speed_model.speed_rows import EXCLUDED_ROWS, Row, load
from scripts.speed_model.speed_score import DECODE, PREFILL, by_board, hits, llama, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NOISE = (0.10, 0.15)
"""Logarithmic error of a published decode and prefill figure, as the loss takes it."""


class Board(NamedTuple):
    """Data sheet facts of one board, way and mode."""

    arithmetic: str
    memory: str
    """Group that shares the efficiency of memory."""
    peak: float
    """GB/s of the data sheet."""
    rate: float
    """Cores x GHz (CPU), cores x GHz x 2 (GPU, GFLOP/s at fp32), TOPS (NPU)."""
    free: float = 0.15
    """How far (log) its bandwidth may lie from its group's."""


BOARDS = {
    "pi5/cpu": Board("dotprod", "narrow", 17.1, 4 * 2.4),
    "rk3588/cpu": Board("dotprod", "wide", 33.8, 4 * 2.3),
    "dragon-q6a/cpu": Board("dotprod", "wide", 51.2, 2.7 + 3 * 2.4),
    "dragon-q8b/cpu": Board("dotprod", "wide", 68.3, 8 * 2.7),
    "cix-p1/cpu": Board("dotprod", "wide", 96.0, 12 * 2.4),
    "pi4/cpu": Board("neon", "narrow-a72", 12.8, 4 * 1.8),
    "pi-zero-2w/cpu": Board("neon", "narrow-a72", 3.6, 4 * 1.0, 0.4),
    "jetson-nano-4gb/cpu": Board("neon", "narrow-a72", 25.6, 4 * 1.43, 0.6),
    "p550/cpu": Board("scalar", "scalar", 51.2, 4 * 1.4),
    "n100/cpu": Board("avx2", "x86", 25.6, 4 * 2.9 / 2),
    "n150/cpu": Board("avx2", "x86", 25.6, 4 * 2.9 / 2),
    "i5-9500/cpu": Board("avx2", "x86", 42.7, 6 * 3.9),
    "i5-1135g7/cpu": Board("avx2", "x86", 51.2, 4 * 3.8),
    "i7-8550u/cpu": Board("avx2", "x86", 38.4, 4 * 3.0),
    "orin-nano-8gb/cuda@7W": Board("cuda", "cuda", 68.3, 836, 1.0),
    "orin-nano-8gb/cuda@15W": Board("cuda", "cuda", 68.3, 1253),
    "orin-nano-8gb/cuda@25W": Board("cuda", "cuda", 102.4, 1880),
    "orin-nano-8gb/cuda@MAXN": Board("cuda", "cuda", 102.4, 2089),
    "agx-orin-64gb/cuda@MAXN": Board("cuda", "cuda", 204.8, 5325),
    "jetson-nano-4gb/cuda": Board("maxwell", "cuda", 25.6, 236, 0.8),
    "orin-nano-8gb/mlc@15W": Board("mlc", "mlc", 68.3, 1253),
    "orin-nano-8gb/mlc@25W": Board("mlc", "mlc", 102.4, 1880),
    "agx-orin-64gb/mlc@MAXN": Board("mlc", "mlc", 204.8, 5325),
    "m1/metal": Board("metal", "metal", 68.3, 2290),
    "m4/metal": Board("metal", "metal", 120.0, 3763),
    "a18-pro/metal": Board("metal", "metal", 60.0, 1907),
    "m2/blas": Board("blas", "blas", 100.0, 1),
    "rk3588/npu@max": Board("npu", "npu", 33.8, 6),
    "rk3588/npu": Board("npu", "npu", 33.8, 6, 0.5),
    "rk3576/npu": Board("npu", "npu", 17.1, 6),
    "rk3562/npu": Board("npu", "npu", 8.5, 1),
}
_ACCELERATORS = ("cuda", "mlc", "maxwell", "metal", "npu")
_FLOPS_PRIOR = {"cuda": 2.0, "mlc": 2.0, "maxwell": 1.0, "metal": 1.0, "npu": 100.0, "blas": 500.0}
_CPUS = ("dotprod", "neon", "avx2", "scalar", "blas")

# Shared constants: name -> (prior, how sure in logarithms). 1 is neutral.
SHARED: dict[str, tuple[float, float]] = {
    **{f"memory/{name}": (0.6, 0.5) for name in {board.memory for board in BOARDS.values()}},
    "memory/scalar": (0.1, 1.0),
    **{f"flops/{a}": (_FLOPS_PRIOR.get(a, 8.0), 1.0) for a in {board.arithmetic for board in BOARDS.values()}},
    **{f"attention/{name}": (2.0, 0.7) for name in (*_CPUS, "npu")},
    **{f"attention/{name}": (1.0, 0.7) for name in ("cuda", "metal", "maxwell")},
    **{f"setup/{name}": (0.2, 1.0) for name in ("cuda", "metal", "npu")},
    "plain/dotprod": (0.7, 0.4),
    **{f"type/dotprod/{name}": (1.0, 0.4) for name in ("q4_0", "q5_k", "q6_k", "q8_0")},
    **{f"type/neon/{name}": (1.0, 0.3)
       for name in ("q4_0", "iq4_nl", "q5_0", "q5_1", "q5_k", "q6_k", "q8_0", "q3_k", "iq3")},
    **{f"type/cuda/{name}": (1.0, 0.2) for name in ("q5_0", "q8_0")},
    **{f"type/metal/{name}": (1.0, 0.2) for name in ("q8_0", "iq3")},
    "type/npu/w4a16": (1.0, 0.3),
    **{f"kind/{a}/{kind}": (1.0, 0.3)
       for a, kind in (("dotprod", "deltanet"), ("dotprod", "moe"), ("metal", "deltanet"),
                       ("npu", "deltanet"), ("npu", "gemma3n"), ("npu", "ple"))},
    **{f"slower/{a}/iq3": (1.0, 0.3) for a in ("neon", "metal")},
    **{f"slower/cuda/{t}": (1.0, 0.2) for t in ("q5_0", "q8_0")},
    "slower/mlc/gemma2": (1.0, 0.4),
    "slower/dotprod/moe": (1.0, 0.2),
}  # fmt: skip
ENGINES = {
    "ollama": (0.1, 0.2), "ollama-gpu": (0.1, 0.2), "ik_llama": (0.15, 0.4), "mnn": (0.15, 0.7), "litert": (0.15, 0.7),
    "vllm.cpp": (0.3, 0.7), "bitnet": (0.3, 0.7), "rustllm": (0.3, 0.7), "llamafile": (0.1, 0.7),
}  # fmt: skip
"""Engines beside llama.cpp: how sure that decode, prefill are as fast as its."""


class Fit:
    """All constants, as one vector of logarithms."""

    def __init__(self) -> None:
        self.names: list[str] = []
        prior: list[float] = []
        sure: list[float] = []
        for name, (value, sd) in SHARED.items():
            self._add(name, value, sd, prior, sure)
        for engine, (decode, prefill) in ENGINES.items():
            self._add(f"decode/{engine}", 1.0, decode, prior, sure)
            self._add(f"prefill/{engine}", 1.0, prefill, prior, sure)
        for key, board in BOARDS.items():
            self._add(f"bandwidth/{key}", 1.0, board.free, prior, sure)
            self._add(f"fixed/{key}", 3.0 if board.arithmetic in _ACCELERATORS else 1.0, 0.5, prior, sure)
            self._add(f"rate/{key}", 1.0, 0.25, prior, sure)
        self.prior, self.sure = np.array(prior), np.array(sure)
        self.x = self.prior.copy()

    def _add(self, name: str, value: float, sd: float, prior: list[float], sure: list[float]) -> None:
        self.names.append(name)
        prior.append(math.log(value))
        sure.append(sd)

    def constants(
        self, x: np.ndarray | None = None
    ) -> tuple[dict[str, Machine], dict[str, Arithmetic], dict[str, float]]:
        """Machines, arithmetics and all values by name."""
        values = dict(zip(self.names, np.exp(self.x if x is None else x).tolist(), strict=True))

        def group(start: str) -> dict[str, float]:
            return {name[len(start) :]: value for name, value in values.items() if name.startswith(start)}

        arithmetics = {
            a: Arithmetic(group(f"type/{a}/"), values.get(f"plain/{a}", 0.0), values.get(f"attention/{a}", 1.0),
                          values.get(f"setup/{a}", 0.0), group(f"kind/{a}/"), group(f"slower/{a}/"))
            for a in {board.arithmetic for board in BOARDS.values()}
        }  # fmt: skip
        for name, how in arithmetics.items():
            _relatives(how)
            if name in _CPUS:
                _like_other_processors(how, arithmetics["dotprod"])
        machines = {
            key: Machine(
                bandwidth=board.peak * values[f"memory/{board.memory}"] * values[f"bandwidth/{key}"],
                fixed_ms=values[f"fixed/{key}"],
                gflops=board.rate * values[f"flops/{board.arithmetic}"] * values[f"rate/{key}"],
                arithmetic=arithmetics[board.arithmetic],
                basis="",
            )
            for key, board in BOARDS.items()
        }  # fmt: skip
        return machines, arithmetics, values

    def predict(self, rows: Sequence[Row], x: np.ndarray | None = None) -> list[tuple[float, float]]:
        """Decode and prefill in tok/s of each row."""
        machines, _, values = self.constants(x)
        result = []
        for row in rows:
            on = machines[row.platform]
            result.append(
                (
                    values.get(f"decode/{row.engine}", 1.0) / decode_seconds(row.work, on, row.depth),
                    values.get(f"prefill/{row.engine}", 1.0) / prefill_seconds(row.work, on, row.prompt),
                )
            )
        return result

    def fit(self, rows: Sequence[Row]) -> Fit:
        """Fit to these rows alone."""

        def errors(x: np.ndarray) -> np.ndarray:
            found = []
            for row, (decode, prefill) in zip(rows, self.predict(rows, x), strict=True):
                if row.decode:
                    found.append(math.log(decode / row.decode) / _NOISE[0])
                if row.prefill:
                    found.append(math.log(prefill / row.prefill) / _NOISE[1])
            each = np.array(found)
            robust = each * np.sqrt(2 / (1 + np.sqrt(1 + each * each)))  # pseudo-Huber
            return np.concatenate([robust, (x - self.prior) / self.sure])

        self.x = least_squares(errors, self.prior.copy(), max_nfev=25).x
        return self


def _relatives(how: Arithmetic) -> None:
    """Types without a row of their own take the nearest one's factor."""
    types = how.types
    for name, like in (("q4_1", "q4_0"), ("iq4_nl", "q4_0"), ("mxfp4", "q4_0"), ("q5_1", "q5_0"), ("iq4_xs", "q4_0")):
        if like in types and name not in types:
            types[name] = types[like]  # type: ignore[index]
    if how.plain:
        types["q4_k"] = 1.0  # type: ignore[index]
        for name in ("q5_0", "q5_1", "q4_1", "q3_k", "iq4_xs", "iq3"):  # nothing repacks these on ARM (repack.py)
            types[name] = how.plain  # type: ignore[index]


def _like_other_processors(how: Arithmetic, measured: Arithmetic) -> None:
    """Mixtures cost a processor without rows of them what they cost the one that has some."""
    for own, others in ((how.kinds, measured.kinds), (how.slower, measured.slower)):
        own.setdefault("moe", others["moe"])  # type: ignore[attr-defined]


def evaluate(rows: list[Row], report: Callable[..., None] = tell) -> Fit:
    """Held-out third, rotation, whole boards."""
    shipped = Fit().fit([row for row in rows if row.fold != 0])
    held = [row for row in rows if row.fold == 0]
    fitted = [row for row in rows if row.fold != 0]
    for title, some in (
        ("fitted two thirds", fitted),
        ("HELD-OUT THIRD", held),
        ("  of it llama.cpp and Ollama", llama(held)),
    ):
        predicted = shipped.predict(some)
        report(f"{title}: decode", hits(some, predicted, 0), DECODE)
        report(f"{title}: prefill", hits(some, predicted, 1), PREFILL)
    every: list[list[tuple[Row, float]]] = [[], []]
    for fold in range(3):
        one = shipped if fold == 0 else Fit().fit([row for row in rows if row.fold != fold])
        rest = [row for row in rows if row.fold == fold]
        for which in (0, 1):
            every[which] += hits(rest, one.predict(rest), which)
    report("each third held out in turn: decode", every[0], DECODE)
    report("each third held out in turn: prefill", every[1], PREFILL)
    names = {row.id for row in llama(rows)}
    report("  of it llama.cpp and Ollama: decode", [e for e in every[0] if e[0].id in names], DECODE)
    report("  of it llama.cpp and Ollama: prefill", [e for e in every[1] if e[0].id in names], PREFILL)
    print("\nHeld-out third, by board")
    predicted = shipped.predict(held)
    by_board(hits(held, predicted, 0), hits(held, predicted, 1))
    print("\nEach third held out in turn, by board")
    by_board(*every)
    print("\nMisses (rotation; fold 0 is the held-out third)")
    for which, limit, name in ((0, DECODE, "decode"), (1, PREFILL, "prefill")):
        for row, error in every[which]:
            if abs(error) > limit:
                value = (row.decode if which == 0 else row.prefill) or 0.0
                what = f"{row.id} fold {row.fold} {name} {row.platform} {row.engine} {row.model} {row.quant[:22]}"
                print(f"  {what}: {value} predicted {value * (1 + error):.2f}")
    return shipped


def whole_boards(rows: list[Row]) -> None:
    """Every platform held out as a whole: what the scaling from data sheets is worth."""
    every: list[list[tuple[Row, float]]] = [[], []]
    socs = (
        "pi5",
        "pi4",
        "rk3588",
        "cix-p1",
        "n100",
        "n150",
        "i7-8550u",
        "i5-9500",
        "orin-nano-8gb",
        "agx-orin-64gb",
        "m1",
        "m4",
    )
    for soc in socs:
        rest = [row for row in rows if row.platform.split("/")[0] == soc]
        one = Fit().fit([row for row in rows if row.platform.split("/")[0] != soc])
        for which in (0, 1):
            every[which] += hits(rest, one.predict(rest), which)
    print("\nA whole board held out (scaled from data sheet by its kind)")
    tell("decode, rows", every[0], DECODE)
    tell("prefill, rows", every[1], PREFILL)
    by_board(*every)


def basis(key: str, rows: Sequence[Row]) -> str:
    """What the constants of a board rest on."""
    own = [row for row in rows if row.platform == key]
    decode, prefill = sum(bool(row.decode) for row in own), sum(bool(row.prefill) for row in own)
    if not own:
        return "scaled: data sheet, its kind"
    if all(row.engine in ("rustllm", "mnn", "litert", "vllm.cpp", "bitnet") for row in own):
        return "assumed: one row, of another engine"
    return f"{'few' if decode < 3 else 'fitted'}: {decode} decode, {prefill} prefill"


def _line(start: str, pairs: dict[str, float]) -> list[str]:
    """A mapping as source, broken at 120 columns."""
    items = [f'"{name}": {value:.2f}' for name, value in sorted(pairs.items())]
    lines = [f"        {start}={{"]
    for item in items:
        if len(lines[-1]) + len(item) > 112:
            lines.append("            ")
        lines[-1] += item + ", "
    lines[-1] = lines[-1].removesuffix(", ") + "},"
    return [line.rstrip() for line in lines]


def write(fit: Fit, rows: Sequence[Row]) -> None:
    """Put the constants into speed_table.py."""
    machines, arithmetics, values = fit.constants()
    kinds = {id(how): name for name, how in arithmetics.items()}
    out = ["# fmt: off", "ARITHMETIC: dict[str, Arithmetic] = {"]
    for name, how in sorted(arithmetics.items()):
        numbers = (("plain", how.plain), ("attention", how.attention), ("setup", how.setup))
        out.append(f'    "{name}": Arithmetic(')
        for field, pairs in (("types", how.types), ("kinds", how.kinds), ("slower", how.slower)):
            out += _line(field, dict(pairs)) if pairs else []
        out += ["        " + ", ".join(f"{field}={value:.2f}" for field, value in numbers if value) + ",", "    ),"]
    out += ["}", "ENGINES: dict[str, tuple[float, float]] = {", '    "": (1.0, 1.0),']
    for engine in ENGINES:
        if any(row.engine == engine for row in rows):
            out.append(f'    "{engine}": ({values[f"decode/{engine}"]:.2f}, {values[f"prefill/{engine}"]:.2f}),')
    out += ["}", '"""Decode and prefill relative to llama.cpp, by engine."""', "_FITTED: dict[str, Machine] = {"]
    for key, on in sorted(machines.items()):
        numbers_text = f"{on.bandwidth:#.3g}, {on.fixed_ms:.1f}, {on.gflops:.0f}"
        out.append(
            f'    "{key}": Machine({numbers_text}, ARITHMETIC["{kinds[id(on.arithmetic)]}"], "{basis(key, rows)}"),'
        )
    out += ["}", "# fmt: on"]
    path = Path(__file__).parents[2] / "edgechat" / "models" / "planning" / "speed_table.py"
    text = path.read_text(encoding="utf-8")
    head, rest = text.split("# >>> fitted by scripts/speed_model/fit_speed.py\n", 1)
    tail = rest.split("# <<< fitted by scripts/speed_model/fit_speed.py\n", 1)[1]
    marked = "\n".join(
        ("# >>> fitted by scripts/speed_model/fit_speed.py", *out, "# <<< fitted by scripts/speed_model/fit_speed.py\n")
    )
    path.write_text(head + marked + tail, encoding="utf-8")


if __name__ == "__main__":
    published = load()
    print("left out by name:", EXCLUDED_ROWS)
    print("rows:", len(published), dict(collections.Counter(row.fold for row in published)))
    fit = evaluate(published)
    if "--write" in sys.argv:
        write(fit, [row for row in published if row.fold != 0])
    if "--boards" in sys.argv:
        whole_boards(published)
