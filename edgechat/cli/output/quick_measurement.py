"""Measures an unknown board with the starter model before a plan is made for it, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.cli.output.terminal import say
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.paths import Paths


def measure_if_unknown(paths: Paths, board: Board) -> None:
    """Measure and keep the starter's speed where neither the speed table nor the calibration knows this board.

    Does nothing while an engine runs, which would share the cores, and where there is no starter; the plan then assumes
    the slowest board of its kind.
    """
    from edgechat.engine.client.client import status  # noqa: PLC0415 - only an unknown board pays for these
    from edgechat.models.planning.board_speed import UNDISTURBED, is_known, starter_measurement  # noqa: PLC0415
    from edgechat.models.planning.calibration import read_calibration  # noqa: PLC0415
    from edgechat.models.store.installed import STARTER_NAME  # noqa: PLC0415

    if is_known(board):
        return
    measured = read_calibration(paths, board)
    kept = starter_measurement(measured)
    # `edgechat bench` tries several settings; a quick measurement would replace them by its one.
    is_thorough = any(key.startswith(f"{STARTER_NAME}:") and len(items) > 1 for key, items in measured.items())
    if (kept is not None and (is_thorough or kept.cpu_share >= UNDISTURBED)) or status(paths):
        return
    measure_starter_here(paths, board, why="The speed of this board is not known")


def measure_starter_here(paths: Paths, board: Board, *, why: str) -> bool:
    """Measure the starter for a few seconds and keep the result beside the calibration; False where it failed."""
    from edgechat.engine.selection.benchmark import measure_starter  # noqa: PLC0415
    from edgechat.models.planning.board_speed import MEANINGLESS  # noqa: PLC0415
    from edgechat.models.planning.calibration import file_key, keep  # noqa: PLC0415
    from edgechat.models.store.installed import starter  # noqa: PLC0415

    model = starter()
    if model is None:
        return False
    say(f"{why}: measuring it with the starter model, a few seconds ...")
    try:
        found = measure_starter(model.path, board.cpu)
    except EngineError as error:
        say(f"{error.message} The plan assumes a slow board.")
        return False
    keep(paths, board, file_key(model.name, model.quant, model.file_bytes), [found])
    if found.cpu_share < MEANINGLESS:
        say(f"Other programs used {1 - found.cpu_share:.0%} of the processor. The plan assumes a slow board until "
            "`edgechat models plan` can measure.")  # fmt: skip
        return False
    say(f"It reads {found.prefill_tps:.0f} and writes {found.decode_tps:.0f} tokens a second.")
    return True
