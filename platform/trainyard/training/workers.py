"""What the workers of a trial do together. Every worker calls the same functions in the same order."""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainyard.training.member import Member


def add_up(tensors: Sequence[Tensor], member: Member, *, factor: float = 1.0) -> None:
    """Replace each tensor by factor x its sum over the workers, with one exchange for each type of number."""
    if member.workers == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        dist.all_reduce(flat)
        if factor != 1.0:
            flat *= factor
        for tensor, total in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(total.view_as(tensor))


def join(tensors: Sequence[Tensor], member: Member) -> list[Tensor]:
    """Each tensor with its rows, along the first axis, of all workers in the order of their ranks."""
    if member.workers == 1:
        return list(tensors)
    counts = torch.zeros((len(tensors), member.workers), dtype=torch.int64, device=member.torch_device)
    counts[:, member.rank] = counts.new_tensor([len(tensor) for tensor in tensors])
    dist.all_reduce(counts)
    return [_joined(tensor, own) for tensor, own in zip(tensors, counts.tolist(), strict=True)]


def _joined(tensor: Tensor, counts: list[int]) -> Tensor:
    """counts: rows of each worker. They travel in tensors as long as the longest, as gathering asks."""
    padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])


class Replicas:
    """The copies of a model on a trial's workers: equal at the start, and kept equal by averaging gradients.

    On a GPU by DistributedDataParallel, which exchanges gradients while the backward pass goes on. On a CPU after it:
    there the exchange would take the same cores, and DistributedDataParallel imports torch._dynamo, 4.6 s of CPU on
    each worker.
    """

    def __init__(self, model: nn.Module, member: Member, *, share: float = 1.0, overlap: bool | None = None) -> None:
        """share: of this worker in each batch, as a part of what each would have if all had as many rows; its loss has
        been weighted by it. overlap: whether to use DistributedDataParallel; None: on a GPU.
        """
        self._model = model
        self._member = member
        self._share = share
        self._overlap = member.torch_device.type == "cuda" if overlap is None else overlap
        self.forward: nn.Module = model
        if member.workers == 1:
            return
        self._copy_from_first()
        if self._overlap:
            # Buffers, the running statistics of batch norm, are averaged once an epoch instead of copied in each step.
            self.forward = nn.parallel.DistributedDataParallel(
                model, broadcast_buffers=False, gradient_as_bucket_view=True
            )

    def average_gradients(self) -> None:
        """After the backward pass."""
        if self._member.workers > 1 and not self._overlap:
            gradients = [parameter.grad for parameter in self._model.parameters() if parameter.grad is not None]
            add_up(gradients, self._member, factor=1 / self._member.workers)

    def average_buffers(self) -> None:
        """After the steps of an epoch, before `eval()`: running statistics are each worker's own until then.

        Of modules in evaluation mode nothing has changed, and what no state holds is constant: they stay to the bit, as
        a mean of equal numbers is not quite that number with 3 workers.
        """
        statistics = list(self._running_statistics())
        if self._share != 1:
            for buffer in statistics:
                buffer.mul_(self._share)
        add_up(statistics, self._member, factor=1 / self._member.workers)

    def _running_statistics(self) -> Iterator[Tensor]:
        saved = self._model.state_dict().keys()
        for path, module in self._model.named_modules():
            for name, buffer in module.named_buffers(path, recurse=False):
                if module.training and name in saved and buffer.is_floating_point():
                    yield buffer

    def _copy_from_first(self) -> None:
        with torch.no_grad():
            for tensor in self._model.state_dict().values():
                exchanged = tensor.contiguous()
                dist.broadcast(exchanged, src=0)
                tensor.copy_(exchanged)
