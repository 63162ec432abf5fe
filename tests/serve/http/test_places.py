"""Who gives up a place when all are taken: the one that has waited longest for its request, never a served one."""

from __future__ import annotations

from dataclasses import dataclass

from edgechat.serve.http.places import Places


@dataclass(eq=False)
class Client:
    """A connection."""

    address: str = ""
    is_waiting: bool = True


def test_the_longest_waiting_gives_up_its_place() -> None:
    places: Places[Client] = Places(3, 2)
    first, second, third, late = (Client() for _ in range(4))
    assert [places.enter(each) for each in (first, second, third)] == [None] * 3
    places.wait(first)
    assert places.enter(late) is second


def test_a_running_request_keeps_its_place_and_a_new_connection_is_refused() -> None:
    places: Places[Client] = Places(2, 2)
    busy = [Client(is_waiting=False) for _ in range(2)]
    for each in busy:
        places.enter(each)
    late = Client()
    assert places.enter(late) is late
    places.leave(late)
    busy[1].is_waiting = True
    places.wait(busy[1])
    assert places.enter(Client()) is busy[1]


def test_one_address_takes_only_its_share_and_only_from_itself() -> None:
    places: Places[Client] = Places(10, 2)
    mine, theirs = Client(), [Client("192.0.2.7") for _ in range(3)]
    places.enter(mine)
    assert [places.enter(each) for each in theirs] == [None, None, theirs[0]]
    places.leave(theirs[0])
    places.leave(theirs[1])
    assert places.enter(Client("192.0.2.7")) is None


def test_a_place_is_free_again_when_its_connection_is_closed() -> None:
    places: Places[Client] = Places(1, 1)
    for _ in range(5):
        one = Client("192.0.2.7", is_waiting=False)
        assert places.enter(one) is None
        places.leave(one)
        places.leave(one)
