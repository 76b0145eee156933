"""What the copies of a model on a trial's workers average, and what they leave alone."""

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainyard.models.normalization import Normalization
from trainyard.training.member import Member
from trainyard.training.workers import Replicas

WORKERS = 3


@pytest.fixture(autouse=True)
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange among workers that all hold the same."""
    monkeypatch.setattr(dist, "broadcast", lambda tensor, src: None)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.mul_(WORKERS))


def test_running_statistics_are_averaged_and_constants_stay_to_the_bit() -> None:
    torch.manual_seed(0)
    frozen, trained = nn.BatchNorm2d(100), nn.BatchNorm2d(100)
    model = nn.Sequential(Normalization(torch.rand(100).tolist(), torch.rand(100).tolist()), frozen, trained)
    for norm in (frozen, trained):
        norm.running_mean = torch.rand(100)
    frozen.eval()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}

    Replicas(model, Member(workers=WORKERS)).average_buffers()

    after = dict(model.named_buffers())
    changed = {name for name, buffer in before.items() if not torch.equal(after[name], buffer)}
    assert changed == {"2.running_mean"}, "a third of three times a number is not always that number"
    torch.testing.assert_close(after["2.running_mean"], before["2.running_mean"])


def test_a_model_that_is_evaluated_has_nothing_to_average(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    replicas = Replicas(nn.BatchNorm1d(4).eval(), Member(workers=WORKERS))
    monkeypatch.setattr(dist, "all_reduce", seen.append)
    replicas.average_buffers()
    assert seen == []
