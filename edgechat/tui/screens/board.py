"""The board screen: what this machine is, and its current load, temperature, power and memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from edgechat.board.probe.summary import lines, size, title
from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.dialogs.dismissal import SwitchableScreen
from edgechat.tui.session.board_readings import BoardReading, read_board, resident_plan
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.key_footer import KeyFooter
from edgechat.tui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.models.planning.plan import Plan
    from edgechat.paths import Paths

_READ_EVERY_S = 2.0
_HISTORY_LENGTH = 120
_LABEL_WIDTH = 13
_BLOCKS = "▁▂▃▄▅▆▇█"


class BoardScreen(SwitchableScreen, Screen[None]):
    """Board, memory, and a graph of the CPU load."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f4", "dismiss", "Back", id="board.back", tooltip="Back to the chat")
    ]

    DEFAULT_CSS = """
    BoardScreen #name { height: 1; padding: 0 1; background: $panel; text-style: bold; }
    BoardScreen VerticalScroll { height: 1fr; padding: 0 1; }
    BoardScreen .part { height: auto; margin: 1 0 0 0; }
    BoardScreen #history { height: 1; color: $primary; }
    """

    def __init__(self, paths: Paths, config: Config) -> None:
        super().__init__()
        self._paths, self._config = paths, config
        self._heading = Static(Content("Looking at this board …"), id="name", markup=False)
        self._now = Static("", markup=False, classes="part")
        self._engine = Static("", markup=False, classes="part")
        self._facts = Static("", markup=False, classes="part")
        self._memory = MemoryBar()
        self._history: deque[float] = deque(maxlen=_HISTORY_LENGTH)
        self._spark = Static("", id="history", markup=False)
        self._planned: tuple[str, Plan | None] = ("", None)
        self.banner = Banner()

    def compose(self) -> ComposeResult:
        """Yield name, current values, engine and facts."""
        yield self._heading
        yield self.banner
        with VerticalScroll():
            yield self._now
            yield self._spark
            yield self._engine
            yield self._memory
            yield self._facts
        yield KeyFooter()

    def on_mount(self) -> None:
        """Read the values now and every two seconds."""
        self._read()
        self.set_interval(_READ_EVERY_S, self._read)

    @work(thread=True, group="read", exclusive=True)
    def _read(self) -> None:
        try:
            reading = read_board(self._paths)
            label = str(reading.engine and (reading.engine.get("model"), reading.engine.get("n_ctx")))
            if label != self._planned[0]:
                # Planning reads file headers and the catalog: once for each loaded model.
                self._planned = (label, resident_plan(self._paths, self._config, reading))
        except EdgechatError as error:
            if self.is_running:
                self.app.call_from_thread(self.banner.show_error, error)
            return
        if self.is_running:
            self.app.call_from_thread(self._show, reading)

    def _show(self, reading: BoardReading) -> None:
        board, memory = reading.board, reading.board.memory
        self._heading.update(Content(clean_line(title(board))))
        now = [f"CPU {reading.cpu_percent:.0f} %"]
        if reading.mhz:
            now.append(f"{reading.mhz / 1000:.2f} GHz")
        now.append("temperature not readable" if reading.celsius is None else f"{reading.celsius:.0f} °C")
        if reading.watts is not None:
            now.append(f"{reading.watts:.1f} W")
        now.append(f"{size(memory.available)} of {size(memory.total)} free")
        self._now.update(Content(" · ".join(now)))
        self._history.append(reading.cpu_percent)
        self._spark.update(Content(cpu_graph(self._history, self.size.width - 3)))
        self._engine.update(Content(_engine_text(reading)))
        self._memory.show(self._planned[1])
        facts = [f"{line.label:<{_LABEL_WIDTH}}{clean_line(line.text)}" for line in lines(board)]
        facts += [f"{'' if at else 'notes':<{_LABEL_WIDTH}}{clean_line(note)}" for at, note in enumerate(board.notes)]
        self._facts.update(Content("\n".join(facts)))
        if reading.throttling:
            reasons = ", ".join(reading.throttling)
            self.banner.show(f"This board is throttled: {reasons}. Better power or cooling fixes it.", is_error=True)
        elif self.banner.has_class("-error"):
            self.banner.clear()


def cpu_graph(percents: Sequence[float], width: int) -> str:
    """Draw the newest CPU loads in ``width`` cells, the last one on the right; a full block is 100 %."""
    newest = list(percents)[-max(1, width) :]
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(each / 100 * len(_BLOCKS)))] for each in newest)


def _engine_text(reading: BoardReading) -> str:
    engine = reading.engine
    if engine is None:
        return "No engine is running; the first question starts it."
    name = f"{engine.get('model')}:{engine.get('quant')}".lower() if engine.get("model") else "no model yet"
    used = size(int(engine.get("rss_bytes") or 0))
    clients = "1 client" if engine.get("clients") == 1 else f"{engine.get('clients') or 0} clients"
    return clean_line(f"Engine: {name} · n_ctx {engine.get('n_ctx')} · {used} in use · {clients}")
