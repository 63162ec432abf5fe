"""``python -m edgechat`` and the ``edgechat`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with a documented code."""
    streams = (sys.stdin, sys.stdout)  # None where the caller closed one
    if sys.argv[1:] in ([], ["tui"]) and all(stream is not None and stream.isatty() for stream in streams):
        from edgechat.cli.straight import open_ui  # noqa: PLC0415 - as below

        open_ui()
    from edgechat.cli.main import run  # noqa: PLC0415 - an interrupt during imports should be ours to report

    run()


if __name__ == "__main__":
    main()
