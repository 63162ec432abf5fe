"""The protocol version in ``hello`` changes with the frames and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, make_dataclass

import pytest

from edgechat.engine.protocol.version import IDENTITY, fingerprint


@dataclass
class Asked:
    """Something on the wire."""

    text: str
    count: int = 1


def test_a_field_more_or_renamed_or_of_another_type_is_another_dialect() -> None:
    same = make_dataclass("Asked", [("text", "str"), ("count", "int", 2)])
    assert fingerprint(same) == fingerprint(Asked)
    others = (
        make_dataclass("Asked", [("text", "str"), ("count", "int"), ("seed", "int")]),
        make_dataclass("Asked", [("words", "str"), ("count", "int")]),
        make_dataclass("Asked", [("text", "bytes"), ("count", "int")]),
        make_dataclass("Wished", [("text", "str"), ("count", "int")]),
    )
    assert len({fingerprint(Asked), *map(fingerprint, others)}) == 1 + len(others)


@pytest.mark.process
def test_every_process_of_the_same_code_finds_the_same() -> None:
    """Python's own hash() would not do."""
    told = subprocess.run(
        [sys.executable, "-c", "from edgechat.engine.protocol.version import IDENTITY; print(IDENTITY)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert told.stdout.strip() == str(IDENTITY)
