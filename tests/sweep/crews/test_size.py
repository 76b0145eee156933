"""How many workers a crew is to have."""

import pytest

from trainyard.sweep.crews.size import CrewSize, Growth, Patience, Room

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


@pytest.mark.parametrize(("workers", "wishes"), [(1, [1, 1]), (2, [1]), (3, []), (4, [])])
def test_a_crew_wishes_for_the_places_that_it_lacks_of_its_share(workers: int, wishes: list[int]) -> None:
    assert CrewSize(least=1, most=4, each=CPU, share=3).wishes(workers) == wishes


def test_a_crew_that_is_to_be_on_one_node_wishes_for_a_larger_one() -> None:
    assert CrewSize(least=1, most=4, each=CPU, share=3, together=True).wishes(1) == [3]


def test_a_crew_of_one_size_or_without_an_autoscaler_wishes_for_nothing() -> None:
    assert CrewSize(least=4, most=4, each=CPU, share=4).wishes(1) == []
    assert CrewSize(least=1, most=4, each=CPU).wishes(1) == []


def test_every_resource_counts() -> None:
    each = {"CPU": 1.0, "GPU": 1.0}
    assert CrewSize(least=1, most=8, each=each).within([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 2.0}]) == 3


def test_what_sums_of_fractions_lack_costs_no_place() -> None:
    assert CrewSize(least=1, most=8, each={"CPU": 1.0}).within([{"CPU": 2.7 + 0.1 + 0.2}]) == 3


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


def growth() -> Growth:
    return Growth(CrewSize(least=1, most=4, each=CPU), 10)


def places(count: int) -> list[Room]:
    return [{"CPU": 2.0 * count}]


def test_a_group_that_did_not_come_up_is_asked_for_smaller_down_to_the_least() -> None:
    crew = growth()
    assert [crew.ask(places(4)) for _ in range(5)] == [4, 3, 2, 1, 1]


def test_a_group_that_came_up_does_not_make_the_next_one_smaller() -> None:
    crew = growth()
    assert crew.ask(places(3)) == 3
    crew.could_be(0, size=3, nodes=places(3))
    assert crew.ask(places(3)) == 3


def test_room_that_went_again_is_no_reason_to_leave() -> None:
    crew = growth()
    crew.ask(places(2))
    assert crew.could_be(0, size=2, nodes=places(3)) == 0
    assert crew.could_be(10, size=2, nodes=places(3)) == 3
    assert crew.could_be(12, size=2, nodes=places(2)) == 0


def test_a_new_group_waits_anew_for_room_that_there_was_before_it() -> None:
    crew = growth()
    crew.ask(places(2))
    crew.could_be(0, size=2, nodes=places(3))
    crew.ask(places(2))
    assert crew.could_be(12, size=2, nodes=places(3)) == 0
    assert crew.could_be(22, size=2, nodes=places(3)) == 3


def test_room_into_which_a_crew_could_not_grow_is_waited_for_twice_as_long() -> None:
    crew = growth()
    waits = []
    for now in (0.0, 100.0, 200.0):
        assert [crew.ask(places(3)), crew.ask(places(3))] == [3, 2]
        waits.append(next(wait for wait in range(100) if crew.could_be(now + wait, size=2, nodes=places(3))))
    assert waits == [20, 40, 80]
    crew.ask(places(3))
    assert crew.could_be(300, size=3, nodes=places(4)) == 0
    assert crew.could_be(310, size=3, nodes=places(4)) == 4


def test_a_crew_that_waits_for_its_first_machines_has_not_failed() -> None:
    crew = growth()
    assert [crew.ask([]) for _ in range(5)] == [1] * 5
    crew.could_be(0, size=1, nodes=places(2))
    assert crew.could_be(10, size=1, nodes=places(2)) == 2
