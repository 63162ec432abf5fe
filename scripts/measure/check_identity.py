#!/usr/bin/env python3
"""Is greedy text the same, character by character, as llama-completion's on the same rendered prompt?

    scripts/measure/check_identity.py [FILE.gguf] [--flavour noomp] [--tokens 96] [--threads N]

Asks edgechat's engine twenty questions, renders the same conversations with the model's own template, and gives those
texts to llama-completion through a file. Prints a table; the exit status is 1 when any answer differs. A difference is
shown with its place: models of few parameters in coarse types have near ties that another batch size decides. Line
breaks at the very end are not compared.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Message
from edgechat.engine.text.chat_template import ChatTemplate
from scripts.benchmarks import peers
from scripts.benchmarks.edgechat_driver import Edgechat
from scripts.benchmarks.machine_info import usable_cores
from scripts.benchmarks.reply import Question, ask
from scripts.workshop import shape_models

if TYPE_CHECKING:
    from edgechat.models.planning.plan import LoadSettings

QUESTIONS = (
    "Why is the sky blue?",
    "Name three rivers in Europe.",
    "Write a short poem about rain.",
    "What is 17 plus 25?",
    "Explain what a bearing does in a machine.",
    "List the months of the year.",
    "Translate into French: The door is open.",
    "Rewrite politely: Send me the report now.",
    "What should a driver do in fog?",
    "Describe a solder bridge.",
    "Give me a recipe for pancakes.",
    "Who wrote Romeo and Juliet?",
    "Write a Python function that adds two numbers.",
    "Summarise: The pump failed at ten, was repaired at noon, and failed again at two.",
    "What is the difference between torque and power?",
    "Tell a story about a lighthouse keeper.",
    "How does a heat pump work?",
    'Answer in JSON with the key "colour": what colour is grass?',
    "日本の首都はどこですか?",
    "Wie heißt die Hauptstadt von Österreich?",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One question's two answers."""

    question: str
    ours: str
    theirs: str

    @property
    def common(self) -> int:
        """Characters until the first difference."""
        return shared_start(self.ours, self.theirs)

    @property
    def is_same(self) -> bool:
        """True when nothing differs."""
        return self.ours == self.theirs

    def row(self) -> str:
        """A line of the table."""
        if self.is_same:
            return f"| {self.question} | {len(self.ours)} | yes |"
        at = self.common
        seen = f"at {at}: {self.ours[at : at + 24]!r} against {self.theirs[at : at + 24]!r}"
        return f"| {self.question} | {len(self.ours)} | **no**, {seen} |"


def shared_start(a: str, b: str) -> int:
    """Length of the longest common beginning of two texts."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def theirs(binary: Path, model: Path, rendered: str, settings: LoadSettings, tokens: int) -> str:
    """What llama-completion makes of a rendered prompt, greedily."""
    with tempfile.TemporaryDirectory(prefix="edgechat-identity-") as directory:
        file = Path(directory) / "prompt.txt"
        # It takes one line break off the end of a file.
        file.write_text(rendered + "\n", encoding="utf-8", newline="")
        command = [str(binary), "-m", str(model), "-f", str(file), "-n", str(tokens), "--temp", "0", "-no-cnv"]
        # -f would otherwise take a backslash in a question for an escape.
        command += ["--no-escape", "--no-display-prompt", "--simple-io", "-c", str(settings.n_ctx)]
        command += ["-t", str(settings.n_threads), "-tb", str(settings.n_threads), "-b", str(settings.n_batch)]
        command += ["-ub", str(settings.n_ubatch), "-ctk", settings.kv_type, "-ctv", settings.kv_type]
        command += ["-lm", {"mmap": "mmap", "read": "none"}[settings.load_mode], *([] if settings.repack else ["-nr"])]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    # It ends its output with line breaks of its own, and says so when the model ended its turn.
    return done.stdout.decode(errors="replace").rstrip("\n").removesuffix(" [end of text]").rstrip("\n")


def compare(model: Path, binary: Path, edgechat: Edgechat, tokens: int) -> list[Verdict]:
    """Ask both sides everything."""
    import gguf  # the `bench` dependency group

    reader = gguf.GGUFReader(model)
    source = reader.get_field("tokenizer.chat_template")
    if source is None:
        raise SystemExit(f"{model} has no chat template to render the questions with.")
    template = ChatTemplate(str(source.contents()), bos=_token(reader, "bos"), eos=_token(reader, "eos"))
    settings = edgechat.settings(model)
    found = []
    with closing(edgechat.client()) as client:
        for question in QUESTIONS:
            reply = ask(client, model, Question((Message("user", question),), tokens))
            rendered = template.render([{"role": "user", "content": question}], think=False)
            found.append(Verdict(question, reply.text.rstrip("\n"), theirs(binary, model, rendered, settings, tokens)))
            print(found[-1].row(), flush=True)
    return found


def _token(reader: object, which: str) -> str:
    fields = reader.fields  # type: ignore[attr-defined]
    number = fields.get(f"tokenizer.ggml.{which}_token_id")
    if number is None:
        return ""
    return str(fields["tokenizer.ggml.tokens"].contents(int(number.contents())))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", metavar="FILE.gguf", help="(the starter model)")
    parser.add_argument("--flavour", default="noomp", choices=sorted(peers.FLAVOURS))
    parser.add_argument("--tokens", type=int, default=96, help="longest answer (96)")
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    binary = peers.binary("llama-completion", args.flavour, peers.bench_dir())
    model = (args.model or shape_models.starter_model()).absolute()
    with tempfile.TemporaryDirectory(prefix="edgechat-identity-") as home:
        edgechat = Edgechat(Path(home), args.threads)
        print(f"Greedy answers of up to {args.tokens} tokens, {model.name}\n")
        print("| question | characters | same as llama-completion's |\n|---|---|---|")
        try:
            found = compare(model, binary, edgechat, args.tokens)
        finally:
            edgechat.stop()
    same = sum(each.is_same for each in found)
    print(f"\n{same} of {len(found)} are identical.")
    return 0 if same == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
