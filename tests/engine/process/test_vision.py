"""Pictures in a conversation: real llama.cpp, the real starter, and a projector of random weights in front of it."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from edgechat.assistant.blocking import Assistant
from edgechat.engine.client import client
from edgechat.engine.protocol.request import Message
from edgechat.errors import InvalidInputError
from edgechat.tasks.contract import Ask, Outcome
from edgechat.tasks.generator import EngineGenerator
from tests.engine.image_files import png

_LLAMA = importlib.util.find_spec("llama_cpp")
_IS_BUILT = _LLAMA is not None and any(Path(str(_LLAMA.origin)).parent.glob("lib/libmtmd.*"))
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not _IS_BUILT, reason="llama.cpp is built without image input: EDGECHAT_VISION=1 scripts/setup"),
]
QUESTION = "What is in the picture?"


@pytest.fixture(scope="session")
def projector() -> Any:
    """The script that makes projectors."""
    return importlib.import_module("scripts.workshop.shape_projector")


def pair(directory: Path, starter_file: Path, projector: Any, *, times_as_wide: int = 1) -> Path:
    """A model file with a projector beside it, as they are published."""
    tower = projector.Tower(image=56, patch=14, n_layer=2, n_embd=64, n_head=2, n_ff=128)
    projector.write(directory / "mmproj-small.gguf", tower, projector.width(starter_file) * times_as_wide)
    model = directory / "seeing.gguf"
    model.symlink_to(starter_file)
    return model


@pytest.fixture(scope="session")
def seeing(tmp_path_factory, starter_file, projector) -> Path:
    """A model that looks at images."""
    return pair(tmp_path_factory.mktemp("vision"), starter_file, projector)


@pytest.fixture
def pictures(tmp_path) -> tuple[Path, Path]:
    """Two that differ."""
    files = (tmp_path / "red.png", tmp_path / "blue.png")
    files[0].write_bytes(png(64, 48, (255, 40, 0)))
    files[1].write_bytes(png(64, 48, (0, 40, 255)))
    return files


def ask(cli: Any, model: Path, *images: Path, question: str = QUESTION) -> Any:
    arguments = [part for image in images for part in ("--image", str(image))]
    return cli.json("ask", "-m", str(model), *arguments, question, "-n", "16", "--temp", "0", "--json")


def test_the_answer_depends_on_the_picture_and_the_same_picture_is_read_once(cli, seeing, pictures):
    red, again, blue, none = (
        ask(cli, seeing, *shown) for shown in ((pictures[0],), (pictures[0],), (pictures[1],), ())
    )
    assert red["answer"] == again["answer"]
    assert len({red["answer"], blue["answer"], none["answer"]}) > 1
    # 16 patches of 14 pixels; the second time only the last token is computed.
    assert red["usage"]["prompt_tokens"] - none["usage"]["prompt_tokens"] == 16
    assert again["usage"]["cached_tokens"] == again["usage"]["prompt_tokens"] - 1
    assert blue["usage"]["cached_tokens"] < red["usage"]["prompt_tokens"] - 16


def test_several_pictures_beside_running_answers_change_nothing_in_them(cli, paths, seeing, pictures):
    alone = ask(cli, seeing, *pictures)
    writing = cli.popen("ask", "-m", str(seeing), "What is the capital of France?", "-n", "150", "--temp", "0")
    beside = ask(cli, seeing, *pictures, question=QUESTION)
    text, _ = writing.communicate(timeout=60)
    quiet = cli("ask", "-m", str(seeing), "What is the capital of France?", "-n", "150", "--temp", "0")
    assert beside["answer"] == alone["answer"]
    assert text == quiet.stdout
    assert beside["usage"]["prompt_tokens"] > 32


FULL = """
import edgechat.engine.native.vision as vision
read, times = vision.Vision.decode, {times}
def fail(*arguments):
    global times
    times -= 1
    if times >= 0:
        raise vision.CacheFullError
    read(*arguments)
vision.Vision.decode = fail
"""


@pytest.fixture
def fill(paths, tmp_path, monkeypatch):
    """Lets the next engine find no cells for a picture so many times."""

    def once_more(times: int) -> None:
        client.stop(paths)
        # Python reads it before anything else.
        (tmp_path / "sitecustomize.py").write_text(FULL.format(times=times))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    return once_more


@pytest.mark.parametrize("times", [1, 2])
def test_a_picture_without_room_is_tried_again_and_ends_no_other_answer(cli, seeing, pictures, fill, times):
    endless = ("ask", "-m", str(seeing), "What is the capital of France?", "-n", "100", "--temp", "0")
    unharmed, plain = ask(cli, seeing, pictures[0]), cli(*endless).stdout
    fill(times)
    writing = cli.popen(*endless)
    if times > 1:
        refused = cli("ask", "-m", str(seeing), "--image", str(pictures[0]), QUESTION)
        assert refused.returncode == 6
        assert "could not read the image" in refused.stderr
    assert ask(cli, seeing, pictures[0])["answer"] == unharmed["answer"]
    text, err = writing.communicate(timeout=60)
    assert text == plain
    assert "restarted" not in err


def test_a_model_without_eyes_says_so(cli, pictures):
    done = cli("ask", "--image", str(pictures[0]), QUESTION)
    assert done.returncode == 4
    assert "cannot look at images" in done.stderr


def test_a_damaged_picture_is_refused_and_the_engine_goes_on(cli, seeing, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(png(64, 48)[:45] + b"\0" * 40)
    refused = cli("ask", "-m", str(seeing), "--image", str(broken), QUESTION)
    assert refused.returncode == 4
    assert "damaged" in refused.stderr
    pid = cli.json("ps", "--json")[0]["pid"]
    assert ask(cli, seeing)["answer"]
    assert cli.json("ps", "--json")[0]["pid"] == pid


def test_a_projector_of_another_width_is_refused(cli, projector, tmp_path, starter_file, pictures):
    (tmp_path / "wide").mkdir()
    model = pair(tmp_path / "wide", starter_file, projector, times_as_wide=2)
    done = cli("ask", "-m", str(model), "--image", str(pictures[0]), QUESTION)
    assert done.returncode == 4
    assert "mmproj-small.gguf cannot be used with this model" in done.stderr


def test_a_defect_report_takes_a_picture(cli, seeing, pictures, tmp_path):
    record = {
        "product_id": "P-1",
        "defect_type": "scratch",
        "location": "lid",
        "severity": 4,
        "confidence": 0.9,
        "process_notes": [{"id": "N1", "text": "Gripper pads were changed at 06:10."}],
        "log_lines": [],
        "image": str(pictures[0]),
    }
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    blind = cli("run", "rootcause", str(file), "--format", "json")
    assert blind.returncode == 5
    assert json.loads(blind.stdout)["errors"][0]["path"] == "/image"
    seen = json.loads(cli("run", "rootcause", str(file), "--format", "json", "-m", str(seeing)).stdout)
    assert seen["status"] in {"ok", "truncated"}, seen["errors"]
    assert seen["result"]["observed_facts"]


def test_a_record_from_another_machine_cannot_name_a_file_of_this_one(paths, seeing, pictures):
    generator = EngineGenerator(paths, reads_files=False)
    ask: Ask[Any] = Ask((Message("user", "?"),), {"type": "object"}, 8, Outcome(None), (str(pictures[0]),))
    with pytest.raises(InvalidInputError, match="must come with the record"):
        generator.generate(ask, timeout_s=30, seed=0)
    generator.close()


def test_pictures_in_a_python_conversation(seeing, pictures, cli):
    shown = base64.b64encode(pictures[0].read_bytes()).decode()
    with Assistant.open(model=str(seeing)) as assistant:
        answer = assistant.ask([Message("user", QUESTION, (shown,))], max_tokens=16, temperature=0)
    assert answer.text.strip() == ask(cli, seeing, pictures[0])["answer"].strip()
