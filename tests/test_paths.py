"""Where things are kept: one variable moves everything, none is needed, and none is guessed."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from edgechat.errors import StateError
from edgechat.paths import Paths, private_directory

ALL = ("config", "state", "data", "cache", "models")


def test_one_variable_moves_everything(tmp_path):
    paths = Paths.from_env({"EDGECHAT_HOME": str(tmp_path), "HOME": "/elsewhere", "XDG_STATE_HOME": "/elsewhere"})
    assert {getattr(paths, name) for name in ALL} == {tmp_path / name for name in ALL}
    assert paths.socket.parent == paths.state
    assert not paths.models_moved


def test_without_it_the_xdg_directories_are_used():
    env = {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/k"}
    paths = Paths.from_env(env)
    expected = ["/c/edgechat", "/s/edgechat", "/d/edgechat", "/k/edgechat", "/d/edgechat/models"]
    assert [str(getattr(paths, name)) for name in ALL] == expected


def test_without_any_variable_the_defaults_of_the_xdg_specification_hold():
    paths = Paths.from_env({"HOME": "/h"})
    expected = ["/h/.config", "/h/.local/state", "/h/.local/share", "/h/.cache"]
    assert [str(getattr(paths, name).parent) for name in ALL[:4]] == expected


@pytest.mark.parametrize("relative", ["rel", "./rel", "~/rel", ""])
def test_a_relative_xdg_directory_is_ignored_as_the_specification_says(relative):
    assert Paths.from_env({"HOME": "/h", "XDG_STATE_HOME": relative}).state == Path("/h/.local/state/edgechat")


def test_a_relative_or_tilde_home_means_what_a_shell_would_mean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/h")
    assert Paths.from_env({"EDGECHAT_HOME": "here"}).state == tmp_path / "here/state"
    assert Paths.from_env({"EDGECHAT_HOME": "~/ec"}).state == Path("/h/ec/state")


def test_empty_variables_count_as_unset():
    assert Paths.from_env({"HOME": "/h", "EDGECHAT_HOME": "", "EDGECHAT_MODELS": ""}) == Paths.from_env({"HOME": "/h"})


def test_the_models_alone_can_be_moved(tmp_path):
    paths = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "home"), "EDGECHAT_MODELS": str(tmp_path)})
    assert paths.models == tmp_path
    assert paths.state == tmp_path / "home/state"
    assert paths.require_models() == tmp_path


def test_a_missing_disk_is_named_and_never_taken_for_no_model(tmp_path):
    disk = tmp_path / "ssd"
    paths = Paths.from_env({"EDGECHAT_HOME": str(tmp_path), "EDGECHAT_MODELS": str(disk)})
    with pytest.raises(StateError, match=str(disk)) as caught:
        paths.require_models()
    assert "Mount" in caught.value.hint
    assert Paths.from_env({"EDGECHAT_HOME": str(tmp_path)}).require_models() == tmp_path / "models"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    """A container that runs under a number without a name."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: (_ for _ in ()).throw(KeyError("uid")))
    with pytest.raises(StateError, match="no home directory") as caught:
        Paths.from_env({})
    assert "EDGECHAT_HOME" in caught.value.hint


@pytest.mark.parametrize("variable", ["EDGECHAT_HOME", "EDGECHAT_MODELS"])
def test_a_user_that_does_not_exist_is_named(variable):
    with pytest.raises(StateError, match="no such user"):
        Paths.from_env({"HOME": "/h", variable: "~nobody-of-this-name/x"})


def test_a_private_directory_is_for_this_user_alone_and_may_exist(tmp_path):
    old = os.umask(0)
    try:
        path = private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert private_directory(path) == path


def test_a_directory_that_cannot_be_made_is_a_matter_of_state(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StateError, match="Cannot create") as caught:
            private_directory(path)
        assert "EDGECHAT_HOME" in caught.value.hint
