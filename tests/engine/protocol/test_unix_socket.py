"""The socket is found wherever the state directory lies, and stale ones are no obstacle."""

from __future__ import annotations

import socket
import stat
import sys

import pytest

from edgechat.engine.protocol import unix_socket
from edgechat.errors import StateError


@pytest.fixture(params=["short", "long"])
def state(request, tmp_path):
    """A directory whose socket path fits into a kernel address, and one whose does not."""
    directory = tmp_path if request.param == "short" else tmp_path / ("d" * 100) / ("e" * 100)
    if request.param == "long" and sys.platform != "linux":
        pytest.skip("long paths are reached through /proc")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def test_a_client_reaches_the_engine(state):
    server = unix_socket.listen(state)
    client = unix_socket.connect(state)
    assert client is not None
    with server, client:
        server.setblocking(True)
        peer, _ = server.accept()
        with peer:
            client.sendall(b"x")
            assert peer.recv(1) == b"x"


def test_the_socket_is_for_this_user_alone(state):
    with unix_socket.listen(state):
        mode = (state / unix_socket.NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


def test_without_an_engine_there_is_no_connection(state):
    assert unix_socket.connect(state) is None
    assert unix_socket.connect(state / "absent") is None
    unix_socket.listen(state).close()
    assert unix_socket.connect(state) is None, "a dead engine's socket"


def test_a_dead_engines_socket_gives_way(state):
    unix_socket.listen(state).close()
    with unix_socket.listen(state):
        client = unix_socket.connect(state)
        assert client is not None
        client.close()


def test_a_file_where_the_socket_belongs_gives_way(state):
    (state / unix_socket.NAME).write_text("in the way")
    assert unix_socket.connect(state) is None
    unix_socket.listen(state).close()


def test_a_directory_where_the_socket_belongs_is_reported(state):
    (state / unix_socket.NAME).mkdir()
    with pytest.raises(StateError, match="Cannot listen"):
        unix_socket.listen(state)


def test_removing_takes_the_name_away_twice_over(state):
    with unix_socket.listen(state):
        unix_socket.remove(state)
        assert unix_socket.connect(state) is None
        unix_socket.remove(state)


def test_no_descriptor_is_left_behind(state):
    def next_descriptor() -> int:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.fileno()

    before = next_descriptor()
    for _ in range(5):
        with unix_socket.listen(state):
            client = unix_socket.connect(state)
            assert client is not None
            client.close()
        assert unix_socket.connect(state) is None
    assert next_descriptor() == before
