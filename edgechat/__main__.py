"""``python -m edgechat`` and the ``edgechat`` command."""

from __future__ import annotations

import sys

from edgechat.garbage_collector import collect_rarely

_INTERRUPTED, _TERMINATED = 130, 143
"""As in ``errors.ExitCode``, which may be what was being imported."""


def main() -> None:
    """Run the command line and exit with a documented code."""
    collect_rarely()
    streams = (sys.stdin, sys.stdout)  # None where the caller closed one
    if sys.argv[1:] in ([], ["tui"]) and all(stream is not None and stream.isatty() for stream in streams):
        from edgechat.cli.straight import open_ui  # noqa: PLC0415 - as below

        open_ui()
    from edgechat.cli.process_exit import Terminated, leave  # noqa: PLC0415 - as below

    try:
        if sys.argv[1:2] == ["ask"] and not {"-h", "--help"}.intersection(sys.argv):
            from edgechat.cli.head_start import head_start  # noqa: PLC0415 - as below

            head_start()
        from edgechat.cli.main import run  # noqa: PLC0415 - an interrupt during imports should be ours to report
    except KeyboardInterrupt:
        leave(_INTERRUPTED)
    except Terminated:
        leave(_TERMINATED)
    run()


if __name__ == "__main__":
    main()
