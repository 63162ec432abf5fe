"""The settings of one run: its input, its outputs, and how records are answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.files import replaceable, require_separate
from edgechat.tasks.batch.journal import SUFFIX
from edgechat.tasks.batch.output import PART

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.tasks.language import Language


@dataclass(frozen=True, slots=True)
class Job:
    """The input, output and settings of one run.

    Raises:
        UsageError: an output exists and is not a regular file, or is one of the inputs.
    """

    source: str | None
    """A file, ``-`` for standard input, one JSON object as text, or None: ``fields`` are then the only record."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields that replace those of every record."""
    out: Path | None = None
    """The output file, with symbolic links resolved; None writes to standard output, which cannot be resumed."""
    form: str | None = None
    """The format of the input; None derives it from the file's name."""
    format: str | None = None
    """The format of the output; None derives it from the file's name, then from the input."""
    encoding: str | None = None
    """The encoding of the input, and of a document that is written back; None recognises it."""
    delimiter: str = ""
    """The separator of a CSV file; empty recognises it."""
    report: Path | None = None
    """A JSON file that receives what became of every record or unit, with its place."""
    other_inputs: tuple[Path, ...] = ()
    """Further files that the command reads, which no output may overwrite."""
    columns: tuple[str, ...] = ()
    """The columns or keys of a table to rewrite; a CSV or JSON lines file is then a document."""
    resume: bool = False
    parallel: int = 1
    timeout_s: float | None = None
    """Seconds for each record."""
    began_s: float | None = None
    """Start of the command (monotonic clock); the timeout of a single record counts from here."""
    seed: int | None = None
    language: Language = "en"
    keeps_answers: bool = True
    earlier: tuple[Mapping[str, Any], ...] = ()
    """Results of earlier runs, oldest first, with which the task compares those of this run."""

    def __post_init__(self) -> None:
        for name in ("out", "report"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, replaceable(path))
        require_separate(self.outputs, self.inputs)

    @property
    def inputs(self) -> list[Path]:
        """The files that the run reads."""
        named = self.source is not None and self.source != "-" and not self.is_inline
        return [*([Path(self.source)] if named and self.source else []), *self.other_inputs]

    @property
    def outputs(self) -> list[Path]:
        """The files that the run writes, with those that exist only while it runs."""
        beside = [] if self.out is None else [self.out.with_name(self.out.name + end) for end in (SUFFIX, PART)]
        return [each for each in (self.out, self.report, *beside) if each is not None]

    @property
    def is_inline(self) -> bool:
        """Whether the source is one JSON object and not a file's name."""
        return self.source is not None and self.source.lstrip().startswith("{")
