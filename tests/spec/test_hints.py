"""Which known name an unknown one is taken for."""

import pytest

from trainyard.spec.fields import paths_of
from trainyard.spec.hints import closest, listing
from trainyard.spec.job import Job


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("optimizer.learning_rate", "optimizer.lr"),
        ("optimizer.weight_decy", "optimizer.weight_decay"),
        ("training.num_epochs", "training.epochs"),
        ("batch_size", "training.batch_size"),
        ("learning_rate", "optimizer.lr"),
        ("augmentation.rotate.degrees", "augmentations.rotate.degrees"),
        ("loss.crossentropy", "loss.cross_entropy"),
        ("optimizer.foo", None),
        ("quite_another_thing", None),
    ],
)
def test_the_path_that_was_meant(name: str, meant: str | None) -> None:
    assert closest(name, paths_of(Job)) == meant


def test_a_long_list_is_cut_off() -> None:
    assert listing(range(20), most=4) == "0, 1, 2 or 17 more"
    assert listing(["a", "b"], last="and") == "a and b"
    assert listing(["a"]) == "a"
