"""A FAKE engine in a process of its own that says Markdown at a steady pace, for what is timed or killed.

Usage: python -m tests.tui.speaker STATE_DIRECTORY TOKENS TOKENS_PER_SECOND. Says ``ready`` when it listens.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Text, to_frame
from edgechat.engine.protocol.framing import encode
from tests.engine import scripted_engine as scripted

if TYPE_CHECKING:
    import socket

PAGE = """Light from the sun looks white, but it holds **all colours**, and the air treats them differently.

1. Short waves are scattered more than long ones, by the *fourth power* of the frequency.
2. What reaches the eye from aside is therefore mostly blue.

```python
def scattered(wavelength_nm: float) -> float:
    return (400 / wavelength_nm) ** 4
```

| colour | nm | scattered |
|---|---|---|
| blue | 450 | 0.62 |
| red | 700 | 0.11 |

In the evening the way through the air is long, so `blue` is gone before the light arrives.

"""
"""What it says, again and again: prose, a list, code and a table, as chat models write them."""


def tokens(count: int) -> list[str]:
    """About what a tokenizer makes of it: pieces of four characters."""
    pieces = [PAGE[at : at + 4] for at in range(0, len(PAGE), 4)]
    return list(itertools.islice(itertools.cycle(pieces), count))


class Speaker(scripted.ScriptedEngine):
    """Keeps its pace however long the sending takes."""

    def _answer(self, peer: socket.socket, request_id: int) -> None:
        peer.sendall(encode(to_frame(scripted.STARTED, request_id)))
        begun = time.monotonic()
        for number, text in enumerate(self._texts):
            time.sleep(max(0.0, begun + number * self._pause_s - time.monotonic()))
            peer.sendall(encode(to_frame(Text(text, (number,)), request_id)))
        peer.sendall(encode(to_frame(scripted.DONE, request_id)))


def main(state: str, count: str, per_second: str) -> None:
    """Serve until killed."""
    from edgechat.engine.protocol import unix_socket
    from edgechat.paths import private_directory

    folder = private_directory(Path(state))
    speaker = Speaker(unix_socket.listen(folder), tokens(int(count)), 1 / float(per_second))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    speaker.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
