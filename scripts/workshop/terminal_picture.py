#!/usr/bin/env python3
"""Runs real commands and draws what they printed as docs/terminal.svg: the README's picture is never made up.

scripts/workshop/terminal_picture.py            runs the commands below and writes the picture
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "terminal.svg"
COMMANDS = (
    'edgechat ask "Name three uses of a Raspberry Pi." --seed 4 -n 90 --stats',
    (
        'edgechat ask "Invent a sensor reading." --seed 1 --schema \'{"type":"object","required":["sensor","value"],'
        '"properties":{"sensor":{"enum":["temp","humidity"]},"value":{"type":"number","minimum":0,"maximum":40}}}\''
    ),
    "edgechat ps",
)


def main() -> None:
    """Run everything in a home of its own and write the picture."""
    console = Console(record=True, width=100, force_terminal=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "EDGECHAT_HOME": home, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
        for command in COMMANDS:
            console.print(Text(f"$ {command}", style="bold green"))
            done = subprocess.run(
                shlex.split(command),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            console.print(Text(done.stdout.rstrip()))
            console.print()
        subprocess.run(["edgechat", "stop"], env=env, check=True, capture_output=True)
    PICTURE.parent.mkdir(exist_ok=True)
    # Rich names web fonts; a picture of an offline assistant fetches nothing.
    svg = re.sub(r',\s*url\("https?://[^"]*"\)\s*format\("[^"]*"\)', "", console.export_svg(title="edgechat"))
    PICTURE.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
