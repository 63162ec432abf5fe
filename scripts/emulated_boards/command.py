"""`scripts/boards`: the kit from a stick into an emulated arm64 Debian, then what a board's first hour would be.

On each processor: doctor, board, models plan, ask, one record of each task; with --tests the unit tests too. Emulated
seconds say nothing about a board's speed and are shown only to plan the next run. Not in CI: far too slow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.bootstrap import supervised
from scripts.bootstrap.kit_wheels import BoardPython, download_options, gather_for_tests
from scripts.bootstrap.portable_wheel import pip_python
from scripts.emulated_boards.root import EmulatedRoot, RootError

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = "/root/.local/bin/edgechat"
PROGRAM_FOLDER = "/root/.local/share/edgechat-app"
PYTHON = BoardPython("aarch64", "3.11")  # Debian bookworm's
TEST_PACKAGES = "/opt/edgechat-tests"
QUESTION = "Name the capital city of France."
_ARM = "processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"
_BASE = "fp asimd evtstrm crc32 cpuid"


@dataclass(frozen=True)
class Processor:
    """One of QEMU's processors, and what the kernel would say of it."""

    part: str
    features: str
    board: str

    def cpuinfo(self) -> str:
        """A /proc/cpuinfo with two cores."""
        return "".join(_ARM.format(n=number, features=self.features, part=self.part) for number in range(2))


PROCESSORS = {
    "cortex-a53": Processor("0xd03", _BASE, "Raspberry Pi 3, Zero 2 W"),
    "cortex-a72": Processor("0xd08", _BASE, "Raspberry Pi 4"),
    "cortex-a76": Processor("0xd0b", f"{_BASE} asimdhp asimddp", "Raspberry Pi 5, RK3588"),
    "max": Processor("0xd49", f"{_BASE} asimdhp asimddp sve sve2 i8mm bf16", "Neoverse-class"),
}
DRIVING = (
    '{"speed_kmh": 80, "distance_to_car_m": 18, "lane_center_offset_m": 0.2, "weather": "rain", "time_of_day": "night"}'
)
ROOTCAUSE = (
    '{"product_id": "A-1", "defect_type": "porosity", "location": "weld 3", "severity": "major", "confidence": 0.9, '
    '"process_notes": [], "log_lines": [{"id": "L1", "text": "shielding gas flow 4 l/min, set 12 l/min"}]}'
)
STEPS = {
    "doctor": [PROGRAM, "doctor", "--json"],
    "board": [PROGRAM, "board"],
    "plan": [PROGRAM, "models", "plan"],
    "ask": [PROGRAM, "ask", "--temp", "0", "-n", "24", QUESTION],
    "driving": ["sh", "-c", f"echo '{DRIVING}' | {PROGRAM} run driving -"],
    "rootcause": ["sh", "-c", f"echo '{ROOTCAUSE}' | {PROGRAM} run rootcause -"],
    "translate": ["sh", "-c", f"echo 'The pump is broken.' | {PROGRAM} run translate --field target=ja -"],
}


@dataclass(frozen=True)
class Result:
    """One command on one processor."""

    cpu: str
    step: str
    exit_code: int
    seconds: float
    output: str


def run(root: EmulatedRoot, cpu: str, step: str, arguments: list[str], stick: Path) -> Result:
    """Run one command inside; its output is kept whole."""
    started = time.monotonic()
    command = root.command(cpu, PROCESSORS[cpu].cpuinfo(), arguments, stick, loopback=step == "tests")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    output = done.stdout if done.returncode == 0 else f"{done.stdout}{done.stderr}"
    result = Result(cpu, step, done.returncode, round(seconds, 1), output)
    print(f"{cpu:<12} {step:<10} exit {done.returncode}  {seconds:6.1f} s  {_first_line(output)}", flush=True)
    return result


def variant(doctor: str) -> str:
    """The variant that ran, from the doctor's JSON."""
    try:
        return str(json.loads(doctor)["kernels"]["build"]["variant"])
    except (ValueError, KeyError, TypeError):
        return "?"


def table(results: list[Result]) -> str:
    """The results as Markdown, a row for each processor."""
    rows = ["| QEMU processor | as in | variant | " + " | ".join(STEPS) + " |", "|---|---|---|" + "---|" * len(STEPS)]
    for cpu in dict.fromkeys(result.cpu for result in results):
        mine = {result.step: result for result in results if result.cpu == cpu}
        ran = variant(mine["doctor"].output) if "doctor" in mine else "not asked"
        cells = [f"{mine[step].exit_code}" if step in mine else "not run" for step in STEPS]
        rows.append(f"| {cpu} | {PROCESSORS[cpu].board} | {ran} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _first_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("{")]
    return lines[0][:100] if lines else ""


def main() -> int:
    """Make the root, install, run, print the table; exit 1 when a command failed."""
    parser = argparse.ArgumentParser(prog="scripts/boards", description=__doc__)
    parser.add_argument("stick", type=Path, help="what `edgechat models export … --with-app --target aarch64` wrote")
    parser.add_argument("--trust", required=True, metavar="FINGERPRINT", help="the publisher of the stick")
    parser.add_argument(
        "--root", type=Path, default=Path("/var/cache/edgechat-boards/arm64"), help="default: %(default)s"
    )
    parser.add_argument("--cpu", action="append", choices=list(PROCESSORS), help="default: all")
    parser.add_argument("--step", action="append", choices=list(STEPS), help="default: all")
    parser.add_argument("--tests", action="store_true", help="run the unit tests of this checkout too (hours)")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every output")
    chosen = parser.parse_args()
    root = EmulatedRoot(chosen.root.absolute())
    try:
        root.make(chosen.mirror)
        if chosen.tests:
            install_test_packages(root, pip_python(PROJECT))
    except (RootError, supervised.SetupError) as failed:
        print(failed, file=sys.stderr)
        return 1
    stick, cpus = chosen.stick.absolute(), chosen.cpu or list(PROCESSORS)
    install = ["sh", "/stick/install.sh", "--trust", chosen.trust]
    results = [run(root, cpus[0], "install", install, stick)]
    if results[0].exit_code == 0:
        for cpu in cpus:
            results += [run(root, cpu, step, STEPS[step], stick) for step in chosen.step or STEPS]
        if chosen.tests:
            results.append(run(root, cpus[-1], "tests", ["sh", "-c", unit_tests()], PROJECT))
    else:
        print(results[0].output, file=sys.stderr)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    print(table(results[1:]))
    return 1 if any(result.exit_code for result in results) else 0


def install_test_packages(root: EmulatedRoot, pip_python: Path) -> None:
    """Fetch what the tests need, and unpack it inside: from here, since pip takes long where it is emulated.

    Raises:
        SetupError: the index was not reached, or a package has no wheel for the board.
    """
    wheels = PROJECT / "wheels/tests"
    gather_for_tests(PROJECT, wheels, PYTHON, pip_python)
    folder, files = root.folder / TEST_PACKAGES.lstrip("/"), map(str, sorted(wheels.glob("*.whl")))
    supervised.run(
        "Installing the tests' packages",
        [str(pip_python), "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--upgrade",
         "--target", str(folder), *download_options(PYTHON.target, PYTHON.version), *files],
        log=PROJECT / ".build/log/kit.log", env=dict(os.environ), cwd=PROJECT,
    )  # fmt: skip


def unit_tests(wanted: str = "tests") -> str:
    """The unit tests inside, from the checkout (bound at /stick).

    The limits of pyproject.toml are for real processors, and an emulated one also stands still while others work.
    """
    return (
        f"cd /stick && export PYTHONPATH={TEST_PACKAGES} && {PROGRAM_FOLDER}/current/bin/python -m pytest "
        f"-n 2 --dist loadfile -v -p no:cacheprovider -o timeout=3600 --unit {wanted}"
    )
