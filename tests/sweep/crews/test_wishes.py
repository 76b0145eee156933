"""Places that are asked of an autoscaler, on the shared Ray: its one node stands for a machine that has come."""

from collections.abc import Iterator

import pytest
import ray
from ray.util.placement_group import placement_group_table

from trainyard.sweep.crews.wishes import Wishes

from ...cluster.machines import wait

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_nodes")]

NAME = "crew-of-wishes"
OTHER = "0" * 56


@pytest.fixture
def node() -> str:
    return str(ray.get_runtime_context().get_node_id())


@pytest.fixture
def wishes(node: str) -> Iterator[Wishes]:
    wishes = Wishes(NAME, {"CPU": 0.25})
    yield wishes
    wishes.end()


def states() -> list[str]:
    """Of what is wished for."""
    groups = placement_group_table().values()
    return sorted(group["state"] for group in groups if group["name"].startswith(NAME) and group["state"] != "REMOVED")


def test_it_is_for_none_of_the_machines_that_are_there(wishes: Wishes, node: str) -> None:
    wishes.ask([1, 1], {node})
    assert wishes.held({node}) == []
    assert states() == ["PENDING", "PENDING"]


def test_it_holds_the_places_of_one_that_comes_until_they_are_given_back(wishes: Wishes, node: str) -> None:
    wishes.ask([2], {OTHER})
    wait(lambda: wishes.held({node}) == [node, node])
    wishes.ask([], {node})
    assert wishes.held({node}) == [node, node]
    wishes.give_back()
    assert wishes.held({node}) == []
    assert states() == []


def test_what_has_not_come_true_is_asked_for_anew_when_there_are_other_machines(wishes: Wishes, node: str) -> None:
    wishes.ask([1, 1], {node})
    wishes.ask([1], {node, OTHER})
    assert states() == ["PENDING"]


def test_places_on_a_machine_that_is_to_leave_do_not_count(wishes: Wishes, node: str) -> None:
    wishes.ask([1], {OTHER})
    wait(lambda: wishes.held({node}) == [node])
    assert wishes.held({OTHER}) == []
    wishes.ask([1], {OTHER, node})
    assert states() == ["PENDING"]


def test_a_crew_that_ends_wishes_for_nothing_any_more(wishes: Wishes, node: str) -> None:
    wishes.ask([1], {OTHER})
    wait(lambda: wishes.held({node}) == [node])
    wishes.ask([1, 1], {node})
    wishes.end()
    assert states() == []
