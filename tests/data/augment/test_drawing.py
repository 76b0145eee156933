"""Which samples something happens to, in each part of each step."""

from collections.abc import Callable

import numpy as np
import torch

from trainyard.data.augment.buffers import Buffers
from trainyard.data.augment.drawing import Block, Drawn, Share

MakeBlock = Callable[..., Block]


def test_the_chosen_of_each_part_are_found(make_block: MakeBlock) -> None:
    block = make_block(steps=2, batch_size=7, part=3)
    happens = np.array([[1, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 0, 1]], dtype=bool)
    drawn = Drawn(happens.reshape(-1), np.arange(14.0)[:, None], block)
    found: dict[tuple[int, int], tuple[list[int] | None, list[float]]] = {}
    for step in range(2):
        for part in range(block.parts):
            chosen = drawn.of(step, part)
            if chosen:
                samples = None if chosen.samples is None else chosen.samples.tolist()
                found[step, part] = samples, chosen.values.flatten().tolist()
    assert found == {
        (0, 0): ([0], [0.0]),
        (0, 1): (None, [3.0, 4.0, 5.0]),
        (1, 1): ([1], [11.0]),
        (1, 2): (None, [13.0]),
    }


def test_what_became_of_the_chosen_is_written_to_their_places(make_block: MakeBlock) -> None:
    drawn = Drawn(np.array([False, True, False, True]), np.zeros((4, 1)), make_block(batch_size=4))
    part = torch.zeros(4, 2)
    chosen = drawn.of(0, 0)
    assert chosen is not None
    own = chosen.of(part).add_(1)
    assert part.sum() == 0
    chosen.put(part, own)
    assert part.tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]


def test_if_all_are_chosen_they_are_the_part_itself(make_block: MakeBlock) -> None:
    drawn = Drawn(np.ones(4, bool), np.zeros((4, 1)), make_block(batch_size=4))
    part = torch.zeros(4, 2)
    chosen = drawn.of(0, 0)
    assert chosen is not None
    assert chosen.of(part) is part


def test_workers_draw_the_slices_of_the_whole(make_block: MakeBlock) -> None:
    def numbers(rank: int, workers: int) -> np.ndarray:
        share = Share(steps=3, batch_size=8, rank=rank, workers=workers)
        block = make_block(steps=3, share=share, part=8 // workers)
        return block.stream("rotate").uniform(0, 1, 2).reshape(3, -1, 2)

    assert np.array_equal(np.concatenate([numbers(rank, 4) for rank in range(4)], axis=1), numbers(0, 1))


def test_streams_differ_by_augmentation_epoch_seed_and_block(make_block: MakeBlock) -> None:
    names = [make_block().stream(name) for name in ("rotate", "scale")]
    others = [make_block(**change).stream("rotate") for change in ({"epoch": 2}, {"seed": 1}, {"first": 1})]
    assert len({float(stream.uniform(0, 1)[0]) for stream in (*names, *others)}) == 5


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    buffers = Buffers()
    first = buffers.empty((3, 4), torch.float32)
    second = buffers.empty((3, 4), torch.float32)
    where = first.data_ptr()
    assert second.data_ptr() != where
    view = first[1:]
    del first
    assert buffers.empty((3, 4), torch.float32).data_ptr() not in (where, second.data_ptr())
    del view
    assert buffers.empty((3, 4), torch.float32).data_ptr() == where


def test_what_a_gradient_needs_is_held() -> None:
    buffers = Buffers()
    images = buffers.empty((2, 2), torch.float32)
    weights = torch.ones(2, 2, requires_grad=True)
    total = (weights * images.fill_(3)).sum()
    del images
    buffers.empty((2, 2), torch.float32).fill_(7)
    total.backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [[3, 3], [3, 3]]


def test_memory_of_another_size_is_let_go() -> None:
    buffers = Buffers()
    for rows in range(1, 20):
        buffers.empty((rows, 1000), torch.uint8)
    assert len(buffers._arrays) == 1


def test_an_empty_tensor() -> None:
    assert Buffers().empty((0, 3, 4), torch.float32).shape == (0, 3, 4)
