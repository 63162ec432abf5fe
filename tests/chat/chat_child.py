"""A child process that chats with itself until it is killed, and says what it knows to be on disk.

Usage: python -m tests.chat.chat_child HOME SEED. Each line: ``MESSAGE LENGTH``, the characters acknowledged of it.
"""

from __future__ import annotations

import random
import sys

from edgechat.chat.history import History
from edgechat.paths import Paths


def text_of(message: int, length: int) -> str:
    """What the message of that number says, so that any part of it can be checked."""
    word = f"東京{message} valve "
    return (word * (length // len(word) + 1))[:length]


def say(message: int, length: int) -> None:
    sys.stdout.write(f"{message} {length}\n")
    sys.stdout.flush()


def main(home: str, seed: int) -> None:
    dice = random.Random(seed)
    with History.open(Paths.from_env({"EDGECHAT_HOME": home})) as history:
        say(0, 0)
        while True:
            last = history.last()
            number = history.start(title="t").id if last is None or dice.random() < 0.2 else last.id
            asked = history.add_question(number, "what?")
            say(asked.id, -len(asked.content))
            with history.start_answer(number, "small", "Q4_0") as answer:
                length = 0
                for _ in range(dice.randrange(1, 8)):
                    more = dice.randrange(1, 900)
                    length += more
                    if answer.append(text_of(answer.message, length)[-more:]):
                        say(answer.message, length)
                    if dice.random() < 0.5:
                        answer.flush()
                        say(answer.message, length)
                answer.finish("stop")
                say(answer.message, length)
            if dice.random() < 0.1:
                history.fork(answer.message)
            if dice.random() < 0.05:
                history.delete(number)
            if dice.random() < 0.03:
                history.purge([])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
