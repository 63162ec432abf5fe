"""``python -m edgechat.tui``: the app as ``edgechat tui --web`` starts it, one process for each tab of a browser.

Its terminal is the pipe that textual-serve's driver speaks on. It ends with the server, however that ended.
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

_LOOKS_EVERY_S = 2.0


def main() -> int:
    """Run the app; an exit code."""
    try:
        app = make_app(Paths.from_env())
    except EdgechatError as error:
        sys.stderr.write(f"edgechat: {error}\n{error.hint}\n")
        return int(error.exit_code)
    threading.Thread(target=_leave_with, args=(app, os.getppid()), daemon=True).start()
    app.run()
    return app.return_code or 0


def _leave_with(app: EdgechatApp, server: int) -> None:
    """The driver does not notice when nobody is at the other end of its pipe any more."""
    while os.getppid() == server:
        time.sleep(_LOOKS_EVERY_S)
    with contextlib.suppress(RuntimeError):  # the app has ended by itself
        app.call_from_thread(app.exit)


if __name__ == "__main__":
    sys.exit(main())
