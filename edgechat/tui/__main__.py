"""``python -m edgechat.tui``: the app as ``edgechat tui --web`` starts it, one process for each browser tab.

Its terminal is the pipe of textual-serve's driver. It exits when the server process is gone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.paths import Paths
from edgechat.tui.app import make_app

if TYPE_CHECKING:
    from edgechat.tui.app import EdgechatApp

_CHECK_EVERY_S = 2.0


def main() -> int:
    """Run the app; returns the exit code."""
    try:
        app = make_app(Paths.from_env())
    except EdgechatError as error:
        sys.stderr.write(f"edgechat: {error}\n{error.hint}\n")
        return int(error.exit_code)
    threading.Thread(target=_exit_with_server, args=(app, os.getppid()), daemon=True).start()
    app.run()
    return app.return_code or 0


def _exit_with_server(app: EdgechatApp, server: int) -> None:
    """Exit the app when the server has ended: the driver does not notice that its pipe is closed."""
    while os.getppid() == server:
        time.sleep(_CHECK_EVERY_S)
    with contextlib.suppress(RuntimeError):  # the app has ended by itself
        app.call_from_thread(app.exit)


if __name__ == "__main__":
    sys.exit(main())
