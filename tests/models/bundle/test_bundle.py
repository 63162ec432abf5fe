"""Bundles on a stick: out of one home, into another, and refused with the reason when anything about them is wrong."""

# ruff: noqa: PLR0917 - fixtures are arguments
from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater

from edgechat.errors import StateError, TransferError
from edgechat.models.bundle import signing
from edgechat.models.bundle.export import Exported, export
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.bundle.manifest import BundleContents, from_json, stored_name, to_json
from edgechat.models.bundle.signing import publisher, rotate
from edgechat.models.bundle.trust import UntrustedError, trust_publisher, trusted_publishers
from edgechat.models.catalog.licences import LicenceAcceptance, acceptances
from edgechat.models.store.add import KnownModel, add
from edgechat.models.store.install import ModelFacts
from edgechat.models.store.installed import InstalledModel, find, installed
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from tests.models.store_kit import leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 900_000
FACTS = ModelFacts(
    ("en", "ja"), "Gemma", {"temperature": 0.2}, {"enable_thinking": False}, {"translate": "{text}"}, 2048
)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return tmp_path / "stick"


@pytest.fixture
def sender(tmp_path: Path) -> Paths:
    return Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})


@pytest.fixture
def model(sender: Paths, tmp_path: Path) -> InstalledModel:
    file = random_gguf(tmp_path / "Tiny-Q4_K_M.gguf", SIZE)
    return add(Store(sender), file, identify=lambda _: KnownModel("tiny", "Q4_K_M", FACTS))


def export_to(stick: Path, sender: Paths, *models: InstalledModel, part_bytes: int = 4_000_000_000) -> Exported:
    return export(models, stick, publisher(sender), part_bytes=part_bytes)


def take_trusting(store: Store, stick: Path) -> list[InstalledModel]:
    try:
        return import_bundle(store, stick)[1]
    except UntrustedError as error:
        trust_publisher(store.paths, error.root)
        return import_bundle(store, stick)[1]


def target_files(stick: Path) -> dict[str, Path]:
    return {path.name.partition(".")[2]: path for path in (stick / "targets").iterdir()}


def nothing_taken(paths: Paths) -> bool:
    return all(model.source.startswith("package:") for model in installed(paths))


class TestRoundTrip:
    def test_everything_arrives(self, stick: Path, sender: Paths, model: InstalledModel, store: Store) -> None:
        done = export(
            [model], stick, publisher(sender), acceptances=[LicenceAcceptance("Gemma", "https://terms", "tiny")]
        )
        with pytest.raises(UntrustedError) as refused:
            import_bundle(store, stick)
        assert refused.value.fingerprint == done.fingerprint == publisher(sender).fingerprint
        assert nothing_taken(store.paths)
        (taken,) = take_trusting(store, stick)
        assert sha256(taken.path) == model.sha256
        for name in ("name", "quant", "version", "source", "languages", "licence", "sampling", "thinking", "prompts"):
            assert getattr(taken, name) == getattr(model, name)
        assert taken.n_ctx_max == 2048
        assert acceptances(store.paths)["Gemma"].terms == "https://terms"
        assert [(entry.fingerprint, entry.version) for entry in trusted_publishers(store.paths)] == [
            (done.fingerprint, 1)
        ]
        assert leftovers(store.paths) == []

    def test_fat32_s_limit_is_kept_by_cutting(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store
    ) -> None:
        export_to(stick, sender, model, part_bytes=200_000)
        files = [path for path in (stick / "targets").iterdir() if "bundle.json" not in path.name]
        assert len(files) == -(-model.file_bytes // 200_000)
        assert max(path.stat().st_size for path in files) <= 200_000
        assert sha256(take_trusting(store, stick)[0].path) == model.sha256

    def test_importing_again_changes_nothing(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store
    ) -> None:
        export_to(stick, sender, model)
        assert take_trusting(store, stick) == import_bundle(store, stick)[1]

    def test_a_new_export_replaces_the_old_one_on_the_stick(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        take_trusting(store, stick)
        other = add(Store(sender), random_gguf(tmp_path / "Other-Q4_K_M.gguf", SIZE, seed=2, name="Other"))
        assert export_to(stick, sender, other).number == 2
        assert [taken.name for taken in import_bundle(store, stick)[1]] == ["other"]
        assert find(store.paths, "tiny").sha256 == model.sha256
        assert len(list((stick / "targets").iterdir())) == 2

    def test_an_interrupted_import_goes_on(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        export_to(stick, sender, model, part_bytes=100_000)
        with pytest.raises(UntrustedError) as refused:
            import_bundle(store, stick)
        trust_publisher(store.paths, refused.value.root)
        files = sorted(target_files(stick).items())
        missing = next(path for name, path in files if name.endswith(".005"))
        real = os.read

        def pulled_out(handle: int, count: int) -> bytes:
            if Path(f"/proc/self/fd/{handle}").readlink() == missing:
                raise OSError(5, "Input/output error")
            return real(handle, count)

        monkeypatch.setattr("edgechat.models.bundle.import_bundle.os.read", pulled_out)
        with pytest.raises(TransferError, match=r"Cannot read .*\.005: Input/output error"):
            import_bundle(store, stick)
        monkeypatch.undo()
        part = next((store.root / ".staging").rglob("*.part"))
        assert part.stat().st_size == 500_000
        assert sha256(import_bundle(store, stick)[1][0].path) == model.sha256

    def test_python_tuf_s_own_client_accepts_it(
        self, stick: Path, sender: Paths, model: InstalledModel, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        rotate(sender)
        export_to(stick, sender, model)

        class FromStick(FetcherInterface):
            def _fetch(self, url: str) -> Iterator[bytes]:
                path = stick / url.removeprefix("stick://")
                if not path.exists():
                    from tuf.api.exceptions import DownloadHTTPError

                    raise DownloadHTTPError("missing", 404)
                yield path.read_bytes()

        (tmp_path / "client").mkdir()
        (tmp_path / "got").mkdir()
        updater = Updater(
            metadata_dir=str(tmp_path / "client"), metadata_base_url="stick://metadata/",
            target_base_url="stick://targets/", target_dir=str(tmp_path / "got"), fetcher=FromStick(),
            bootstrap=(stick / "metadata/1.root.json").read_bytes(),
        )  # fmt: skip
        updater.refresh()
        info = updater.get_targetinfo("tiny-Q4_K_M-model.000")
        assert info is not None
        assert sha256(Path(updater.download_target(info))) == model.sha256


class TestTrust:
    def test_a_key_that_was_replaced_is_followed(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store
    ) -> None:
        export_to(stick, sender, model)
        take_trusting(store, stick)
        before = publisher(sender).fingerprint
        rotate(sender)
        rotate(sender)
        assert export_to(stick, sender, model).fingerprint == before
        import_bundle(store, stick)

    def test_the_old_key_signs_nothing_after_a_rotation(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store
    ) -> None:
        stolen = publisher(sender)
        export_to(stick, sender, model)
        take_trusting(store, stick)
        rotate(sender)
        export_to(stick, sender, model)
        import_bundle(store, stick)
        export([model], stick, dataclasses.replace(stolen, exports=50))
        with pytest.raises(TransferError, match=r"timestamp\.json: its signature is not by the key that is trusted"):
            import_bundle(store, stick)

    def test_a_stranger_s_bundle_is_not_taken_for_a_known_one_s(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        take_trusting(store, stick)
        known_root = (stick / "metadata/1.root.json").read_bytes()
        stranger = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "stranger")})
        export_to(stick, stranger, model)
        (stick / "metadata/1.root.json").write_bytes(known_root)
        with pytest.raises(TransferError, match="signature is not by the key that is trusted"):
            import_bundle(store, stick)

    def test_a_backup_of_the_keys_signs_on(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        take_trusting(store, stick)
        signing.backup(sender, tmp_path / "safe")
        with pytest.raises(StateError, match="exists already"):
            signing.backup(sender, tmp_path / "safe")
        shutil.rmtree(sender.config / "keys")
        shutil.copytree(tmp_path / "safe", sender.config / "keys")
        assert export_to(stick, sender, model).number == 2
        import_bundle(store, stick)

    def test_a_lost_count_is_not_begun_anew(self, sender: Paths, stick: Path, model: InstalledModel) -> None:
        export_to(stick, sender, model)
        (sender.config / "keys/exports.json").write_text("{")
        with pytest.raises(StateError, match=r"exports\.json is damaged"):
            publisher(sender)

    def test_private_keys_are_private(self, sender: Paths) -> None:
        publisher(sender)
        assert {path.stat().st_mode & 0o777 for path in (sender.config / "keys").iterdir()} == {0o600}


class TestReplay:
    def test_an_older_bundle_is_refused_by_its_number(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        shutil.copytree(stick, tmp_path / "old")
        export_to(stick, sender, model)
        take_trusting(store, stick)
        with pytest.raises(TransferError, match="is number 1, and number 2 of this publisher was accepted before"):
            import_bundle(store, tmp_path / "old")

    @pytest.mark.parametrize("name", ["2.snapshot.json", "2.targets.json", "timestamp.json"])
    def test_parts_of_two_bundles_do_not_mix(
        self, name: str, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        shutil.copytree(stick, tmp_path / "old")
        export_to(stick, sender, model)
        take_trusting(store, stick)
        old = tmp_path / "old/metadata" / name.replace("2.", "1.")
        shutil.copy(old, stick / "metadata" / name)
        with pytest.raises(TransferError, match=r"The bundle is refused: .*json"):
            import_bundle(store, stick)

    def test_two_bundles_with_one_number(
        self, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
    ) -> None:
        export_to(stick, sender, model)
        take_trusting(store, stick)
        (sender.config / "keys/exports.json").unlink()
        other = add(Store(sender), random_gguf(tmp_path / "Other-Q4_K_M.gguf", SIZE, seed=2, name="Other"))
        export_to(stick, sender, other)
        with pytest.raises(TransferError, match="two different bundles with the number 1"):
            import_bundle(store, stick)


def swap_a_byte(stick: Path) -> None:
    path = target_files(stick)["tiny-Q4_K_M-model.000"]
    content = bytearray(path.read_bytes())
    content[SIZE // 2] ^= 1
    path.write_bytes(content)


def shorten(stick: Path) -> None:
    os.truncate(target_files(stick)["tiny-Q4_K_M-model.000"], 1000)


def remove(stick: Path) -> None:
    target_files(stick)["tiny-Q4_K_M-model.000"].unlink()


def link(stick: Path) -> None:
    path = target_files(stick)["tiny-Q4_K_M-model.000"]
    path.rename(stick / "elsewhere")
    path.symlink_to(stick / "elsewhere")


def link_the_folder(stick: Path) -> None:
    (stick / "targets").rename(stick / "elsewhere")
    (stick / "targets").symlink_to(stick / "elsewhere")


def pipe(stick: Path) -> None:
    path = target_files(stick)["tiny-Q4_K_M-model.000"]
    path.unlink()
    os.mkfifo(path)


def unlisted(stick: Path) -> None:
    (stick / "targets" / f"{'0' * 64}.extra").write_text("x")


def flip_signature(stick: Path) -> None:
    path = stick / "metadata/timestamp.json"
    value = json.loads(path.read_text())
    old = value["signatures"][0]["sig"]
    value["signatures"][0]["sig"] = ("0" if old[0] != "0" else "1") + old[1:]
    path.write_text(json.dumps(value))


def change_content(stick: Path) -> None:
    path = target_files(stick)["bundle.json"]
    path.write_bytes(path.read_bytes().replace(b'"tiny"', b'"evil"'))


def garbage(stick: Path) -> None:
    (stick / "metadata/timestamp.json").write_bytes(b"[" * 100_000)


def huge(stick: Path) -> None:
    with (stick / "metadata/timestamp.json").open("r+b") as stream:
        stream.truncate(1 << 30)


def no_bundle(stick: Path) -> None:
    shutil.rmtree(stick / "metadata")


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a swapped byte": (swap_a_byte, "in the bundle is damaged: its sha256"),
    "a short file": (shorten, "has 1000 bytes and .* were signed"),
    "a missing file": (remove, "not a whole bundle: targets/.* is missing"),
    "a link": (link, "it is a link"),
    "a linked folder": (link_the_folder, "it is a link"),
    "a pipe": (pipe, "not a plain file"),
    "an unlisted file": (unlisted, "extra: it is not in the signed list"),
    "a bad signature": (flip_signature, "signature is not by the key"),
    "another list of models": (change_content, "bundle.json: it was changed after it was signed"),
    "deep nonsense": (garbage, "not TUF metadata"),
    "a huge file": (huge, "larger than"),
    "no metadata": (no_bundle, "not a whole bundle: metadata/1.root.json is missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refused(name: str, stick: Path, sender: Paths, model: InstalledModel, store: Store) -> None:
    export_to(stick, sender, model)
    trust_publisher(store.paths, (stick / "metadata/1.root.json").read_bytes())
    change, words = FAULTS[name]
    change(stick)
    with pytest.raises(TransferError, match=words):
        import_bundle(store, stick)
    assert nothing_taken(store.paths)
    assert leftovers(store.paths) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "../../etc", "cannot be the name of a model"),
        ("quant", "/abs", "cannot be the name of a model"),
        ("file", "../x.gguf", "cannot be the name of a model's file"),
        ("file", "/etc/x.gguf", "cannot be the name of a model's file"),
        ("file", "NUL\x00.gguf", "cannot be the name of a model's file"),
        ("parts", ["../../secret"], "not in the signed list"),
        ("role", "firmware", "has not the files of a model"),
        ("format", 99, "does not understand"),
    ],
)
def test_a_trusted_publisher_cannot_write_outside_either(
    field: str, value: object, words: str, stick: Path, sender: Paths, model: InstalledModel, store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def hostile(content: BundleContents) -> bytes:
        told = json.loads(to_json(content))
        if field == "format":
            told["format"] = value
        elif field in {"name", "quant"}:
            told["models"][0][field] = value
        else:
            told["models"][0]["files"][0]["name" if field == "file" else field] = value
        return json.dumps(told).encode()

    monkeypatch.setattr("edgechat.models.bundle.export.to_json", hostile)
    export_to(stick, sender, model)
    with pytest.raises(TransferError, match=words):
        take_trusting(store, stick)
    assert nothing_taken(store.paths)


def test_case_collisions_are_refused(model: InstalledModel) -> None:
    text = to_json(BundleContents(()))
    entry = {
        "name": "tiny", "quant": "Q4_K_M", "source": "", "facts": dataclasses.asdict(FACTS),
        "files": [
            {"role": "model", "name": "A.gguf", "bytes": 1, "sha256": "0" * 64, "parts": ["a"]},
            {"role": "mmproj", "name": "a.gguf", "bytes": 1, "sha256": "1" * 64, "parts": ["b"]},
        ],
    }  # fmt: skip
    value = {**json.loads(text), "models": [entry]}
    with pytest.raises(ValueError, match="differ by upper and lower case only"):
        from_json(json.dumps(value).encode())


CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long fake(void) { return atol(getenv("FAKE_CLOCK")); }
time_t time(time_t *out) { if (out) *out = fake(); return fake(); }
int gettimeofday(struct timeval *tv, void *tz) { tv->tv_sec = fake(); tv->tv_usec = 0; return 0; }
int clock_gettime(clockid_t id, struct timespec *ts) {
    extern int __clock_gettime(clockid_t, struct timespec *);
    static struct timespec ticks;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) { ts->tv_sec = fake(); ts->tv_nsec = 0; return 0; }
    ticks.tv_nsec += 1000; *ts = ticks; return 0;
}
"""
ROUND_TRIP = """
import sys, datetime
from pathlib import Path
from edgechat.models.bundle.import_bundle import import_bundle
from edgechat.models.bundle.export import export
from edgechat.models.store.installed import find
from edgechat.models.bundle.signing import publisher
from edgechat.models.store.store import Store
from edgechat.models.bundle.trust import UntrustedError
from edgechat.paths import Paths
sender = Paths.from_env({"EDGECHAT_HOME": sys.argv[1]})
receiver = Paths.from_env({"EDGECHAT_HOME": sys.argv[2]})
export([find(sender, "tiny")], Path(sys.argv[3]), publisher(sender))
import_bundle(Store(receiver), Path(sys.argv[3]))
print(datetime.datetime.now().year, find(receiver, "tiny").sha256)
"""


@pytest.mark.process
@pytest.mark.parametrize(("year", "seconds"), [(1970, 86400), (2099, 4_086_000_000)])
@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler on Linux")
def test_the_clock_plays_no_part(
    year: int, seconds: int, stick: Path, sender: Paths, model: InstalledModel, store: Store, tmp_path: Path
) -> None:
    """A bundle made with a right clock, and the next one made and taken under a wrong one."""
    export_to(stick, sender, model)
    take_trusting(store, stick)
    (tmp_path / "clock.c").write_text(CLOCK)
    shim = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "clock.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(shim), "FAKE_CLOCK": str(seconds)}
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(tmp_path / "sender"), str(tmp_path / "home"), str(stick)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [str(year), str(model.sha256)], done.stderr


def test_metadata_lies_where_tuf_expects_it(stick: Path, sender: Paths, model: InstalledModel) -> None:
    export_to(stick, sender, model)
    targets = Metadata[Targets].from_bytes((stick / "metadata/1.targets.json").read_bytes()).signed
    for name, target in targets.targets.items():
        path = stick / "targets" / stored_name(name, target.hashes["sha256"])
        target.verify_length_and_hashes(path.read_bytes())
