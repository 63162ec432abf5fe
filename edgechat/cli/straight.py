"""The terminal UI without the command line before it: what `edgechat` alone opens, 30 ms sooner.

Whatever goes wrong is left to ``edgechat.cli.main``, which is imported then.
"""

from __future__ import annotations

import gc
from typing import NoReturn

from edgechat.cli.process_exit import leave, prepare


def open_ui() -> NoReturn:
    """Open the terminal UI, and leave with one of the documented exit codes."""
    prepare()
    gc.disable()  # until the first frame: starting makes tens of thousands of objects, and hardly any that can go
    code = 0
    try:
        from edgechat.paths import Paths  # noqa: PLC0415 - an interrupt during imports is ours to report, too
        from edgechat.tui.app import make_app  # noqa: PLC0415

        app = make_app(Paths.from_env())
        app.run()
        code = app.return_code or 0  # Textual has already shown what went wrong
    except BaseException as error:  # noqa: BLE001 - main knows which of them are to be raised again
        from edgechat.cli.main import explain  # noqa: PLC0415

        code = explain(error)
    leave(code)
