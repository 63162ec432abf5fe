"""The contents of a bundle: what its signed ``bundle.json`` lists, to and from JSON.

A bundle is a TUF repository in a directory::

    metadata/N.root.json … timestamp.json N.snapshot.json N.targets.json
    targets/SHA256.NAME                    bundle.json and the models' files, in parts below FAT32's 4 GiB
    install.sh install.py SHA256SUMS       with edgechat itself, whose wheels are targets too

Text and values only: ``export.py`` writes bundles, ``import_bundle.py`` reads them.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.models.catalog.licences import LicenceAcceptance
from edgechat.models.store.file_names import is_safe
from edgechat.models.store.install import ModelFacts
from edgechat.models.store.installed import valid_name, valid_quant

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGETS = "targets"
CONTENT = "bundle.json"
CONTENT_FORMAT = 1
KIT_TARGETS = ("aarch64", "x86_64")
"""The processors that edgechat can be bundled for, as ``uname -m`` names them."""
KIT_TARGETS = ("aarch64", "x86_64")
"""The processors that edgechat can be bundled for, as ``uname -m`` names them."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class BundledFile:
    """One file of a model and the targets it is made of, in order."""

    role: str
    name: str
    bytes: int
    sha256: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BundledModel:
    """One model of a bundle."""

    name: str
    quant: str
    source: str
    files: tuple[BundledFile, ...]
    facts: ModelFacts = field(default_factory=ModelFacts)

    @property
    def label(self) -> str:
        """``NAME:QUANT``."""
        return f"{self.name}:{self.quant}"


@dataclass(frozen=True, slots=True)
class BundledApp:
    """edgechat itself, for one kind of board."""

    name: str
    """Names the installed version: edgechat's version and the number of the export."""
    version: str
    target: str
    """The processor, as ``uname -m`` says."""
    wheels: Mapping[str, str]
    """The wheels' file names, which are their targets too, and their sha256."""
    installer: Mapping[str, str]
    """The files of the installer in the top directory, and their sha256."""


@dataclass(frozen=True, slots=True)
class BundleContents:
    """All contents of a bundle. Fields that another version adds are ignored."""

    models: tuple[BundledModel, ...]
    acceptances: tuple[LicenceAcceptance, ...] = ()
    app: BundledApp | None = None


def stored_name(path: str, sha256: str) -> str:
    """A target's file name below ``targets/`` (TUF's consistent snapshots)."""
    return f"{sha256}.{path}"


def to_json(content: BundleContents) -> bytes:
    """The text of ``bundle.json``."""
    value = {"format": CONTENT_FORMAT, **asdict(content)}
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode()


def from_json(text: bytes) -> BundleContents:
    """Parse ``bundle.json``; every name in the result is safe as a file name.

    Raises:
        ValueError: it has another format, is incomplete, or has a name that could leave the store.
    """
    try:
        value: Any = json.loads(text)
        if value["format"] != CONTENT_FORMAT:
            raise ValueError("it was made by a version of edgechat that this one does not understand")
        models = tuple(_model(item) for item in value["models"])
        accepted = tuple(
            LicenceAcceptance(str(a["licence"]), str(a["terms"]), str(a["model"])) for a in value["acceptances"]
        )
        app = _app(value["app"]) if value.get("app") else None
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its list of models is incomplete") from error
    labels = [model.label.casefold() for model in models]
    if len(set(labels)) < len(labels):
        raise ValueError("two of its models differ by upper and lower case only")
    return BundleContents(models, accepted, app)


def _app(value: Any) -> BundledApp:  # noqa: ANN401 - parsed JSON
    app = BundledApp(
        name=str(value["name"]),
        version=str(value["version"]),
        target=str(value["target"]),
        wheels={str(name): str(sha256) for name, sha256 in value["wheels"].items()},
        installer={str(name): str(sha256) for name, sha256 in value["installer"].items()},
    )
    names = [app.name, *app.wheels, *app.installer]
    if not all(map(_PLAIN_NAME.fullmatch, names)) or not all(
        map(_SHA256.fullmatch, (*app.wheels.values(), *app.installer.values()))
    ):
        raise ValueError("its list of the application's files is damaged")
    return app


def _model(value: Any) -> BundledModel:  # noqa: ANN401 - parsed JSON
    facts: Mapping[str, Any] = value["facts"]
    model = BundledModel(
        name=str(value["name"]),
        quant=str(value["quant"]),
        source=str(value["source"]),
        files=tuple(_file(item) for item in value["files"]),
        facts=ModelFacts(
            languages=tuple(map(str, facts["languages"])),
            licence=str(facts["licence"]),
            sampling={str(key): float(number) for key, number in facts["sampling"].items()},
            thinking={str(key): bool(switch) for key, switch in facts["thinking"].items()},
            prompts={str(key): str(prompt) for key, prompt in facts["prompts"].items()},
            n_ctx_max=None if facts["n_ctx_max"] is None else int(facts["n_ctx_max"]),
        ),
    )
    if not valid_name(model.name) or not valid_quant(model.quant):
        raise ValueError(f"{model.label!r} cannot be the name of a model")
    roles = [file.role for file in model.files]
    if roles not in (["model"], ["model", "mmproj"]):
        raise ValueError(f"{model.label} has not the files of a model")
    names = {file.name.casefold() for file in model.files}
    if len(names) < len(roles):
        raise ValueError(f"two files of {model.label} differ by upper and lower case only")
    return model


def _file(value: Any) -> BundledFile:  # noqa: ANN401 - parsed JSON
    file = BundledFile(
        role=str(value["role"]),
        name=str(value["name"]),
        bytes=int(value["bytes"]),
        sha256=str(value["sha256"]),
        parts=tuple(map(str, value["parts"])),
    )
    if not is_safe(file.name):
        raise ValueError(f"{file.name!r} cannot be the name of a model's file")
    if not _SHA256.fullmatch(file.sha256) or file.bytes <= 0 or not file.parts:
        raise ValueError(f"the entry of {file.name} is incomplete")
    return file
