"""The board: what this machine is and how it feels, looked at every two seconds in a thread."""

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
from edgechat.tui.labels import trouble
from edgechat.tui.session.board_readings import Reading, read, resident_plan
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.key_line import KeyLine
from edgechat.tui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.models.planning.plan import Plan
    from edgechat.paths import Paths

_EVERY_S = 2.0
_REMEMBERED = 120
_LABEL_WIDTH = 13
_BLOCKS = "▁▂▃▄▅▆▇█"


class BoardScreen(Screen[None]):
    """Facts, memory, and a history of the CPU."""

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
        self._history: deque[float] = deque(maxlen=_REMEMBERED)
        self._spark = Static("", id="history", markup=False)
        self._planned: tuple[str, Plan | None] = ("", None)
        self.banner = Banner()

    def compose(self) -> ComposeResult:
        """Name, now, engine, facts."""
        yield self._heading
        yield self.banner
        with VerticalScroll():
            yield self._now
            yield self._spark
            yield self._engine
            yield self._memory
            yield self._facts
        yield KeyLine()

    def on_mount(self) -> None:
        """Look, and keep looking."""
        self._look()
        self.set_interval(_EVERY_S, self._look)

    @work(thread=True, group="look", exclusive=True)
    def _look(self) -> None:
        try:
            reading = read(self._paths)
            label = str(reading.engine and (reading.engine.get("model"), reading.engine.get("n_ctx")))
            if label != self._planned[0]:
                # Planning reads headers and the catalog: once for each resident model.
                self._planned = (label, resident_plan(self._paths, self._config, reading))
        except EdgechatError as error:
            if self.is_running:
                self.app.call_from_thread(self.banner.say, trouble(error), is_trouble=True)
            return
        if self.is_running:
            self.app.call_from_thread(self._show, reading)

    def _show(self, reading: Reading) -> None:
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
        self._spark.update(Content(history(self._history, self.size.width - 3)))
        self._engine.update(Content(_engine_words(reading)))
        self._memory.show(self._planned[1])
        facts = [f"{line.label:<{_LABEL_WIDTH}}{clean_line(line.text)}" for line in lines(board)]
        facts += [f"{'' if at else 'notes':<{_LABEL_WIDTH}}{clean_line(note)}" for at, note in enumerate(board.notes)]
        self._facts.update(Content("\n".join(facts)))
        if reading.troubles:
            held = ", ".join(reading.troubles)
            self.banner.say(f"This board is held back: {held}. A better supply or cooling mends it.", is_trouble=True)
        elif self.banner.has_class("-trouble"):
            self.banner.clear()


def history(percents: Sequence[float], width: int) -> str:
    """The newest shares of the CPU that ``width`` cells hold, the last on the right; a full block is 100 %."""
    newest = list(percents)[-max(1, width) :]
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(each / 100 * len(_BLOCKS)))] for each in newest)


def _engine_words(reading: Reading) -> str:
    engine = reading.engine
    if engine is None:
        return "No engine is running; the first question starts it."
    name = f"{engine.get('model')}:{engine.get('quant')}".lower() if engine.get("model") else "no model yet"
    used = size(int(engine.get("rss_bytes") or 0))
    clients = "1 client" if engine.get("clients") == 1 else f"{engine.get('clients') or 0} clients"
    return clean_line(f"Engine: {name} · n_ctx {engine.get('n_ctx')} · {used} in use · {clients}")
