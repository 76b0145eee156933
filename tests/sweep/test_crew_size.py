"""How many workers a crew is to have."""

import pytest

from trainyard.sweep.crew_size import CrewSize, Patience, Room

CPU: Room = {"CPU": 2.0}


@pytest.mark.parametrize(
    ("nodes", "workers"),
    [
        ([{"CPU": 8.0}], 4),
        ([{"CPU": 5.0}], 2),
        ([{"CPU": 3.0}, {"CPU": 3.0}], 2),
        ([{"CPU": 2.0}, {"CPU": 4.0}, {}], 3),
    ],
)
def test_an_elastic_crew_has_as_many_workers_as_there_is_room_for(nodes: list[Room], workers: int) -> None:
    assert CrewSize(least=1, most=4, each=CPU).within(nodes) == workers


def test_a_crew_without_room_for_its_least_waits_for_that_many() -> None:
    assert CrewSize(least=2, most=4, each=CPU).within([{"CPU": 2.0}]) == 2


def test_a_crew_that_is_to_be_on_one_node_is_as_large_as_the_roomiest_lets_it_be() -> None:
    assert CrewSize(least=1, most=4, each=CPU, together=True).within([{"CPU": 4.0}, {"CPU": 6.0}]) == 3


def test_every_resource_counts() -> None:
    each = {"CPU": 1.0, "GPU": 1.0}
    assert CrewSize(least=1, most=8, each=each).within([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 2.0}]) == 3


def test_fractions_that_add_up_count_as_a_whole() -> None:
    assert CrewSize(least=1, most=8, each={"GPU": 0.1}).within([{"GPU": 0.1 + 0.2}]) == 3


def test_a_crew_grows_only_into_room_that_stays() -> None:
    patience = Patience(10)
    assert not patience.over(0, size=2, could_be=3)
    assert not patience.over(9, size=2, could_be=3)
    assert patience.over(10, size=2, could_be=3)


def test_room_that_was_gone_in_between_does_not_count() -> None:
    patience = Patience(10)
    assert not patience.over(0, size=2, could_be=3)
    assert not patience.over(5, size=2, could_be=2)
    assert not patience.over(10, size=2, could_be=3)
    assert patience.over(20, size=2, could_be=4)
