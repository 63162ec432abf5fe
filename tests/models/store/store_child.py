"""A child process that changes a store and is killed, or held, at a named step.

Usage: python -m tests.models.store.store_child HOME STEP:HOW:NUMBER ACTION [ARGUMENT ...]; HOW is ``kill`` or ``hold``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.locks import lock_model
from edgechat.models.bundle.export import export
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.bundle.signing import publisher
from edgechat.models.catalog.catalog import Catalog
from edgechat.models.catalog.names import parse_reference
from edgechat.models.download.hub import Hub
from edgechat.models.download.pull import pull, resolve_repository
from edgechat.models.download.update import rollback, update
from edgechat.models.store.add import add
from edgechat.models.store.installed import find
from edgechat.models.store.store import Store
from edgechat.models.store.verify import verify
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def stop_at(spec: str) -> Callable[[str], None]:
    step, how, number = spec.split(":")
    left = int(number)

    def checkpoint(name: str) -> None:
        nonlocal left
        say(name)
        if name == step:
            left -= 1
            if left == 0 and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if left == 0:
                time.sleep(60)

    return checkpoint


def main(home: str, spec: str, action: str, *arguments: str) -> None:
    paths = Paths.from_env({"EDGECHAT_HOME": home})
    store = Store(paths, checkpoint=stop_at(spec))
    if action == "pull":
        endpoint, reference = arguments
        hub = Hub(endpoint=endpoint, stall_timeout_s=5)
        pull(store, hub, resolve_repository(hub, parse_reference(reference)))
    elif action == "add":
        add(store, Path(arguments[0]))
    elif action == "rm":
        store.remove(*arguments)
    elif action == "verify":
        verify(store)
    elif action == "export":
        export([find(paths, arguments[0])], Path(arguments[1]), publisher(paths), checkpoint=store.checkpoint)
    elif action == "update":
        update(store, Hub(endpoint=arguments[0]), find(paths, arguments[1]), Catalog(()), accept=lambda _: None)
    elif action == "rollback":
        rollback(store, *arguments)
    elif action == "import":
        import_bundle(store, Path(arguments[0]))
    elif action == "load":
        with lock_model(find(paths, arguments[0]).path):
            say("loaded")
            time.sleep(60)
    else:
        raise SystemExit(f"no such action: {action}")


if __name__ == "__main__":
    main(*sys.argv[1:])
