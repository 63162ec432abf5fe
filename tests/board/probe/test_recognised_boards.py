"""A board that one table knows is known to the others, or is named here with the reason why not."""

from __future__ import annotations

from edgechat.board.probe.board_file import known_names, load_board
from edgechat.board.probe.derived_boards import DERIVED
from edgechat.board.probe.recognised_boards import BY_MODEL, JETSON, PROCESSORS, by_model, speeds_like
from edgechat.models.planning.speed_table import BOARDS, MACHINES, machine

NOT_NAMED = {
    "ipc-8gb": "stands for many machines",
    "ipc-16gb": "stands for many machines",
    "container-2gb": "stands for many machines",
    "n100-8gb": "the processor is in many machines",
    "n100-16gb": "the processor is in many machines",
    "n150-16gb": "the processor is in many machines",
    "orange-pi-5-8gb": "several models begin with its model string",
    "orange-pi-5-16gb": "several models begin with its model string",
}
"""Names of ``--board`` that no machine gets by itself. Neither do Macs: their memory is no part of a name they tell."""


def told() -> set[str]:
    """The names that machines get by their model string or device tree."""
    sized = {f"{board.family}-{size}gb" for board in BY_MODEL for size in board.sizes}
    whole = {board.family for board in BY_MODEL if board.family and not board.sizes}
    return sized | whole | {name for _, name, _ in JETSON if name}


def without_mode(name: str) -> str:
    """The board of a name that ends in a power mode."""
    base = DERIVED[name].base if name in DERIVED else name
    return base if name.startswith(f"{base}-") and DERIVED[name].power_mode else name


def test_every_name_that_a_machine_gets_is_a_board_of_the_option() -> None:
    assert told() <= set(known_names())


def test_every_board_of_the_option_is_recognised_or_left_out_with_a_reason() -> None:
    known = {without_mode(name) for name in known_names() if not name.startswith("mac-")}
    assert known - told() == set(NOT_NAMED)


def test_every_recognised_board_has_its_speeds() -> None:
    for name in told():
        assert machine(name) is not None, name
    for name in {board.speeds for board in BY_MODEL}:
        assert f"{name}/cpu" in MACHINES, name
    for _, name in PROCESSORS:
        assert any(key.startswith(f"{name}/") for key in MACHINES), name


def test_name_and_model_string_of_a_board_lead_to_the_same_speeds() -> None:
    for name in known_names():
        board = load_board(name)
        like = speeds_like(board.model, board.cpu.model)
        if like and name.startswith(tuple(BOARDS)):
            assert machine(name, way="cpu") == MACHINES.get(f"{like}/cpu"), name
        if by_model(board.model, board.memory.total)[0]:
            assert by_model(board.model, board.memory.total)[0] == name
