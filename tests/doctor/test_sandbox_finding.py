"""What the doctor says about the engine's sandbox: what confines it, and what is missing."""

from __future__ import annotations

from edgechat.doctor import engines
from edgechat.doctor.finding import Level


def test_the_doctor_says_what_confines_the_engine(monkeypatch) -> None:
    monkeypatch.setattr(engines, "landlock_version", lambda: 4)
    found = engines.sandbox([{"pid": 7, "sandbox": {"landlock": 4, "seccomp": True, "note": ""}}])
    assert found.level is Level.OK
    assert "Landlock (version 4) and seccomp" in found.message


def test_the_doctor_says_that_this_kernel_has_no_landlock(monkeypatch) -> None:
    monkeypatch.setattr(engines, "landlock_version", lambda: 0)
    found = engines.sandbox([])
    assert found.level is not Level.OK
    assert "This kernel has no Landlock" in found.message
    assert "opens no internet socket where seccomp is available" in found.message


def test_the_doctor_says_what_a_running_engine_lacks(monkeypatch) -> None:
    monkeypatch.setattr(engines, "landlock_version", lambda: 4)
    found = engines.sandbox(
        [{"pid": 7, "sandbox": {"landlock": 0, "seccomp": False, "note": "no Landlock; no seccomp"}}]
    )
    assert found.level is not Level.OK
    assert "not wholly confined: no Landlock; no seccomp" in found.message
