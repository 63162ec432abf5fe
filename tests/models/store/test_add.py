"""Models that are already on this machine: added without a second copy, found in other programs' stores, verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edgechat.errors import InvalidInputError, InvalidModelFileError, LicenceNotAcceptedError, ModelNotFoundError
from edgechat.locks import lock_model
from edgechat.models.catalog.licences import LicenceAcceptance, accept, acceptances, require_accepted
from edgechat.models.store.add import KnownModel, add
from edgechat.models.store.install import ModelFacts
from edgechat.models.store.installed import find, installed
from edgechat.models.store.other_programs import find_model_files
from edgechat.models.store.verify import verify
from tests.models.gguf_writer import metadata_of, write_gguf
from tests.models.store_kit import leftovers, random_gguf, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.store.store import Store
    from edgechat.paths import Paths

SIZE = 300_000


class TestFind:
    def test_the_beginning_of_a_name_finds_the_only_one(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        add(store, random_gguf(tmp_path / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", SIZE))
        assert find(paths, "qwen2.5-coder").name == "qwen2.5-coder-0.5b-instruct"
        with pytest.raises(ModelNotFoundError):
            find(paths, "qwen2.5-c")  # a part of a word is a typing error

    def test_a_beginning_that_two_names_have_names_both(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        for size in ("0.5b", "1.5b"):
            add(store, random_gguf(tmp_path / f"qwen2.5-coder-{size}-instruct-q4_k_m.gguf", SIZE))
        with pytest.raises(ModelNotFoundError, match=r"0\.5b-instruct or qwen2\.5-coder-1\.5b-instruct"):
            find(paths, "qwen2.5-coder")
        assert find(paths, "qwen2.5-coder-1.5b").name == "qwen2.5-coder-1.5b-instruct"


class TestAdd:
    def test_links_and_leaves_the_original(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        model = random_gguf(tmp_path / "Own Model.Q4_K_M.gguf", SIZE, name="My Model")
        added = add(store, model)
        assert added.label == "own-model:Q4_K_M"
        assert added.path.samefile(model)
        assert added.source == f"file:{model}"
        store.remove(added.name, added.quant)
        assert model.exists()
        assert leftovers(paths) == []

    def test_files_with_one_internal_name_keep_their_own_names(self, store: Store, tmp_path: Path) -> None:
        for file in ("qwen-0.5b-instruct-q4_k_m.gguf", "qwen-1.5b-instruct-q4_k_m.gguf"):
            add(store, random_gguf(tmp_path / file, SIZE, name="GGUF"))
        assert {model.label for model in installed(store.paths)} >= {
            "qwen-0.5b-instruct:Q4_K_M",
            "qwen-1.5b-instruct:Q4_K_M",
        }

    @pytest.mark.parametrize("names", [("模型甲.gguf", "模型乙.gguf"), ("a/model.gguf", "b/model.gguf")])
    def test_a_file_with_a_name_that_is_taken_gets_a_number(
        self, store: Store, tmp_path: Path, names: tuple[str, str]
    ) -> None:
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
        first, second = (add(store, random_gguf(path, SIZE + 32 * at, name="")) for at, path in enumerate(paths))
        assert (first.name, second.name) == ("model", "model-2")
        assert first.path.exists()
        assert second.path.samefile(paths[1])

    def test_a_file_that_changed_in_its_place_is_a_new_version(self, store: Store, tmp_path: Path) -> None:
        path = random_gguf(tmp_path / "own.gguf", SIZE)
        before = add(store, path)
        path.unlink()
        after = add(store, random_gguf(path, SIZE + 64))
        assert before.label == after.label
        assert before.version != after.version

    def test_a_file_named_by_its_hash_is_named_by_its_header(self, store: Store, tmp_path: Path) -> None:
        path = random_gguf(tmp_path / f"sha256-{'0a' * 32}", SIZE, name="Tiny Model")
        assert add(store, path).name == "tiny-model"

    def test_takes_the_catalog_s_name_and_facts_for_known_bytes(self, store: Store, tmp_path: Path) -> None:
        model = random_gguf(tmp_path / "downloaded.gguf", SIZE)
        known = KnownModel(
            "known-model", "Q8_0", ModelFacts(languages=("ja",), licence="MIT", sampling={"top_k": 20.0})
        )
        added = add(store, model, identify={sha256(model): known}.get)
        assert (added.label, added.languages, added.licence) == ("known-model:Q8_0", ("ja",), "MIT")
        assert added.sampling == {"top_k": 20.0}

    def test_a_link_is_followed_to_the_file(self, store: Store, tmp_path: Path) -> None:
        model = random_gguf(tmp_path / "blob", SIZE)
        (tmp_path / "named.gguf").symlink_to(model)
        assert not add(store, tmp_path / "named.gguf").path.is_symlink()

    def test_takes_the_projector_of_a_model_that_sees(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        model = random_gguf(tmp_path / "eye.Q4_K_M.gguf", SIZE)
        (tmp_path / "other").mkdir()
        projector = write_gguf(tmp_path / "other/eye.Q4_K_M.gguf", {"general.architecture": "clip"})
        added = add(store, model, name="eye", projector=projector)
        assert find(paths, "eye").mmproj == added.mmproj
        assert added.mmproj is not None
        assert added.mmproj.samefile(projector)
        assert added.mmproj.name != added.path.name
        assert all(verdict.ok for verdict in verify(store))
        assert leftovers(paths) == []

    def test_refuses_a_projector_that_is_a_model(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        model = random_gguf(tmp_path / "eye.Q4_K_M.gguf", SIZE)
        with pytest.raises(InvalidModelFileError, match="is not a projector"):
            add(store, model, projector=model)
        assert installed(paths)[0].name != "eye"

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"\x7fELF" + bytes(200), "ELF"), (b"<html>" + bytes(200), "GGUF"), (b"", "GGUF")],
    )
    def test_refuses_what_is_no_model(
        self, content: bytes, words: str, store: Store, tmp_path: Path, paths: Paths
    ) -> None:
        (tmp_path / "fake.gguf").write_bytes(content)
        with pytest.raises(InvalidModelFileError, match=words):
            add(store, tmp_path / "fake.gguf")
        assert not paths.models.exists()

    def test_refuses_a_projector_a_part_and_nothing(self, store: Store, tmp_path: Path) -> None:
        projector = write_gguf(tmp_path / "mmproj.gguf", {"general.architecture": "clip"})
        with pytest.raises(InvalidModelFileError, match="projector of a vision model"):
            add(store, projector)
        with pytest.raises(InvalidInputError, match="There is no file"):
            add(store, tmp_path / "missing.gguf")

    def test_a_hostile_name_in_the_header_stays_inside_the_store(
        self, store: Store, tmp_path: Path, paths: Paths
    ) -> None:
        metadata = {**metadata_of(), "general.name": "../../\x1b[31m/etc/Passwd"}
        added = add(store, write_gguf(tmp_path / "model.gguf", metadata))
        assert paths.models in added.path.parents
        assert added.name == "31m-etc-passwd"


class TestFound:
    def test_finds_each_program_s_models_and_adopts_them_by_link(
        self, store: Store, tmp_path: Path, paths: Paths
    ) -> None:
        home = tmp_path / "user"
        models = {name: random_gguf(tmp_path / f"{name}.gguf", SIZE, seed=number, name=name)
                  for number, name in enumerate(("Oll", "Lms", "Hub", "Cpp"))}  # fmt: skip
        ollama = home / ".ollama/models"
        digest = sha256(models["Oll"])
        manifest = ollama / "manifests/registry.ollama.ai/library/oll/3b"
        for file in (manifest, ollama / "blobs/x", home / ".lmstudio/models/org/repo/x", home / ".cache/llama.cpp/x"):
            file.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"layers": [
            {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "0" * 64},
            {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"},
        ]}))  # fmt: skip
        (ollama / "manifests/broken").write_text("{")
        models["Oll"].rename(ollama / f"blobs/sha256-{digest}")
        models["Lms"].rename(home / ".lmstudio/models/org/repo/Lms-Q4_K_M.gguf")
        (home / ".lmstudio/models/org/repo/mmproj-F16.gguf").write_bytes(b"not a model")
        models["Cpp"].rename(home / ".cache/llama.cpp/cpp.gguf")
        snapshot = home / ".cache/huggingface/hub/models--org--Hub-GGUF/snapshots/abc"
        blob = home / ".cache/huggingface/hub/models--org--Hub-GGUF/blobs" / ("d" * 64)
        snapshot.mkdir(parents=True)
        blob.parent.mkdir()
        models["Hub"].rename(blob)
        (snapshot / "Hub-Q4_K_M.gguf").symlink_to(blob)

        files = find_model_files({"HOME": str(home)})
        assert [(file.tool, file.label) for file in files] == [
            ("ollama", "oll:3b"),
            ("lm-studio", "org/repo/Lms-Q4_K_M.gguf"),
            ("llama.cpp", "cpp.gguf"),
            ("hub-cache", "org/Hub-GGUF:Hub-Q4_K_M.gguf"),
        ]
        for model in files:
            assert add(store, model.path, source=model.tool, copy=False).path.samefile(model.path)
        assert [entry.name for entry in installed(paths)][:4] == ["cpp", "hub", "lms", "oll"]

    def test_an_empty_home_has_none(self, tmp_path: Path) -> None:
        assert [file for file in find_model_files({"HOME": str(tmp_path)}) if tmp_path in file.path.parents] == []


class TestVerify:
    def damage(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[-1000] ^= 1
        path.write_bytes(content)

    def test_one_flipped_bit_is_found_and_the_model_taken_out_of_use(
        self, store: Store, tmp_path: Path, paths: Paths
    ) -> None:
        good = add(store, random_gguf(tmp_path / "0.gguf", SIZE, name="Good"))
        bad = add(store, random_gguf(tmp_path / "1.gguf", SIZE, name="Bad"))
        self.damage(bad.path)
        verdicts = {verdict.name: verdict for verdict in verify(store)}
        assert verdicts["good"].ok
        assert not verdicts["bad"].ok
        assert "its sha256 is" in verdicts["bad"].problem
        assert "edgechat models pull bad:Q4_K_M" in verdicts["bad"].action
        with pytest.raises(ModelNotFoundError):
            find(paths, "bad")
        assert find(paths, "good") == good
        assert len(list((paths.models / ".quarantine").iterdir())) == 1

    def test_the_version_before_takes_over(self, store: Store, tmp_path: Path, paths: Paths) -> None:
        path = random_gguf(tmp_path / "0.gguf", SIZE, seed=0)
        old = add(store, path)
        path.unlink()
        new = add(store, random_gguf(path, SIZE, seed=1))
        self.damage(new.path)
        action = next(verdict.action for verdict in verify(store, name="tiny") if not verdict.ok)
        assert f"version {old.version} is in use now" in action
        assert find(paths, "tiny") == old

    def test_a_loaded_model_is_reported_and_left_in_place(self, store: Store, tmp_path: Path) -> None:
        model = add(store, random_gguf(tmp_path / "0.gguf", SIZE))
        self.damage(model.path)
        with lock_model(model.path):
            (verdict,) = verify(store, name="tiny")
            assert "edgechat stop" in verdict.action
            assert model.path.exists()


class TestLicences:
    def test_acceptance_is_asked_for_once_and_recorded(self, paths: Paths) -> None:
        with pytest.raises(
            LicenceNotAcceptedError, match=r"has not been accepted here: https://terms.*--accept-licence"
        ):
            require_accepted(paths, "gemma", "https://terms", "gemma-2-2b-it")
        accept(paths, LicenceAcceptance("gemma", "https://terms", "gemma-2-2b-it"))
        accept(paths, LicenceAcceptance("llama3.2", "https://other", "llama-3.2-1b-instruct"))
        require_accepted(paths, "gemma", "https://terms", "gemma-3-1b-it")
        assert acceptances(paths)["gemma"].model == "gemma-2-2b-it"
