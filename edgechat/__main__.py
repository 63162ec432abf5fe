"""``python -m edgechat`` and the ``edgechat`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with a documented code."""
    from edgechat.cli.main import run  # noqa: PLC0415 - an interrupt during imports should be ours to report

    run()


if __name__ == "__main__":
    main()
