"""The entry point of ``python -m edgechat`` and of the ``edgechat`` command."""

from __future__ import annotations

import sys

from edgechat.garbage_collector import collect_rarely

_USAGE, _INTERRUPTED, _TERMINATED = 2, 130, 143
"""As in ``errors.ExitCode``, whose import may be what was interrupted."""


def main() -> None:
    """Run the command line and exit with a documented code."""
    refuse_windows(sys.platform)
    collect_rarely()
    from edgechat.cli.process_exit import Terminated, leave  # noqa: PLC0415 - as below

    try:
        if sys.argv[1:2] == ["ask"] and not {"-h", "--help"}.intersection(sys.argv):
            from edgechat.cli.early_start import start_engine  # noqa: PLC0415 - as below

            start_engine()
        from edgechat.cli.main import run  # noqa: PLC0415 - Ctrl-C during imports must not print a traceback
    except KeyboardInterrupt:
        leave(_INTERRUPTED)
    except Terminated:
        leave(_TERMINATED)
    run()


def refuse_windows(platform: str) -> None:
    """Exit with code 2 on Windows itself, which lacks what the engine stands on (fork, flock, Unix credentials)."""
    if platform in {"win32", "cygwin", "msys"}:
        sys.stderr.write(
            "edgechat runs on Linux and macOS. On Windows, use WSL 2: run `wsl --install -d Debian` in PowerShell, "
            "then install edgechat inside it.\n"
        )
        sys.exit(_USAGE)


if __name__ == "__main__":
    main()
