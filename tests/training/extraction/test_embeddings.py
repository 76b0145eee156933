"""Embeddings of a split: made once, kept on the disk under what they follow from, and as good as those of each step."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset
from trainyard.data.local import read_here
from trainyard.data.source import Example
from trainyard.data.split import MemorySplit, TrialData
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError, StorageError
from trainyard.models.sam import Sam, whole
from trainyard.spec.job import Job
from trainyard.training.checkpoint import from_bytes, to_bytes
from trainyard.training.evaluation import job_to_measure, measure, read_parts_here
from trainyard.training.extraction import embeddings, encoding
from trainyard.training.extraction.digests import file_digest
from trainyard.training.extraction.embeddings import source_rows
from trainyard.training.extraction.here import read_extracted_here
from trainyard.training.extraction.reader import readers_of
from trainyard.training.member import Member
from trainyard.training.trial import Trial

ROWS = {"train": 12, "val": 5}
SIDE = 32
SIZES = {"side": 32, "patch": 8, "width": 16, "depth": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of bright blobs before noise, every fourth image without one, and random weights of a tiny SAM."""
    place = tmp_path_factory.mktemp("blobs")
    random = np.random.default_rng(0)
    examples = []
    for split, rows in ROWS.items():
        for row in range(rows):
            image = random.integers(0, 120, (SIDE, SIDE, 3), dtype=np.uint8)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            for _ in range(row % 4):
                y, x = random.integers(4, SIDE - 4, 2)
                inside = np.hypot(*np.ogrid[-y : SIDE - y, -x : SIDE - x]) < random.integers(3, 8)
                image[inside], mask[inside] = 255 - image[inside] // 4, 1
            examples.append(Example(name=f"{split}-{row}", split=split, image=image, mask=mask))
    write_dataset(place / "data", examples, annotation="mask", classes=("ground", "blob"), source="tests")
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            state = whole({"architecture": "tiny", "encoder": SIZES}, (3, SIDE, SIDE)).state_dict()
        save_file(state, place / f"{seed}.safetensors")
    return place


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The rows that the image encoder was given, call by call, with an empty disk cache to begin with."""
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    calls: list[int] = []
    inner = encoding.encoded

    def counted(images: np.ndarray, *arguments: Any, **settings: Any) -> np.ndarray:
        calls.append(len(images))
        return inner(images, *arguments, **settings)

    monkeypatch.setattr(encoding, "encoded", counted)
    return calls


FLIPPED = {"horizontal_flip": {"p": 0.5}, "brightness": {"amount": 0.2, "p": 0.5}}


@pytest.fixture
def make(place: Path, make_job: Callable[..., Job]) -> Callable[..., Job]:
    """make(**values): a job of a tiny SAM on the blobs, values by path with `__` for the dot."""

    def make(**values: Any) -> Job:
        model = {"name": "sam", "architecture": "tiny", "encoder": SIZES, "weights": str(place / "0.safetensors")}
        job = make_job(
            task="promptable_segmentation",
            data={"path": str(place / "data")},
            model=model,
            prompts={"per": "component", "most": 3},
            loss={"binary_cross_entropy": {}, "dice": {"include_background": False}},
            optimizer={"name": "adam", "lr": 1e-3},
            objective={"metric": "val/iou", "mode": "max"},
            training={"epochs": 2, "batch_size": 4},
        )
        return job.with_values({path.replace("__", "."): value for path, value in values.items()})

    return make


def augmented(job: Job, **changes: Any) -> Job:
    return Job.from_dict({**job.to_dict(), "augmentations": FLIPPED | changes})


def read(job: Job) -> TrialData:
    data = read_extracted_here(job, Dataset.open(job.data.path), "cpu")
    assert isinstance(data, TrialData)
    return data


def rows_of(split: Any) -> Columns:
    assert isinstance(split, MemorySplit)
    return split.first(split.rows)


def test_embeddings_are_those_of_the_image_encoder(make: Callable[..., Job], encoded: list[int]) -> None:
    job = augmented(make())
    data = read(job)
    train, evaluate = rows_of(data.train), rows_of(data.evaluate)
    assert (len(train["image"]), len(evaluate["image"])) == (2 * ROWS["train"], ROWS["val"])
    assert train["embedding"].dtype == np.float16
    assert train["embedding"].shape[1:] == (16, 4, 4)
    sam = whole(job.model.settings, (3, SIDE, SIDE)).eval()
    for columns in (train, evaluate):
        expected = sam.embeddings(torch.from_numpy(columns["image"]) / 255)
        np.testing.assert_allclose(columns["embedding"], expected.numpy(), rtol=2e-3, atol=2e-3)


def test_the_augmented_set_is_added_to_the_original(make: Callable[..., Job], encoded: list[int]) -> None:
    job = make()
    images = rows_of(read_here(Dataset.open(job.data.path), job.data, job.prompts).train)
    train = rows_of(read(augmented(make(model__embeddings__copies=3), brightness={"amount": 0.0})).train)
    for name in ("image", "mask"):
        own, *copies = np.split(train[name], 4)
        assert np.array_equal(own, images[name])
        for copy in copies:
            flipped = [np.array_equal(a, b[..., ::-1]) for a, b in zip(copy, own, strict=True)]
            alike = [np.array_equal(a, b) for a, b in zip(copy, own, strict=True)]
            assert all(a or b for a, b in zip(flipped, alike, strict=True))
    # Image and mask together, and each copy by draws of its own.
    copies = np.split(train["image"], 4)[1:]
    assert not np.array_equal(copies[0], copies[1])
    assert (train["mask"] > 0)[(train["image"] > 200).all(1)].mean() > 0.95


def test_what_is_evaluated_stays_as_it_is(make: Callable[..., Job], encoded: list[int]) -> None:
    plain, changed = rows_of(read(make()).evaluate), rows_of(read(augmented(make())).evaluate)
    assert all(np.array_equal(plain[name], changed[name]) for name in plain)
    assert encoded == [12, 5, 24], "and isn't encoded again"


def test_the_second_time_nothing_is_encoded(make: Callable[..., Job], encoded: list[int]) -> None:
    first, second = read(augmented(make())), read(augmented(make()))
    assert encoded == [24, 5]
    assert all(np.array_equal(column, rows_of(second.train)[name]) for name, column in rows_of(first.train).items())


@pytest.mark.parametrize(
    ("values", "again"),
    [
        ({"training__seed": 1}, [24]),
        ({"model__embeddings__copies": 2}, [36]),
        ({"augmentations__horizontal_flip__p": 0.6}, [24]),
        ({"prompts__per": "mask"}, [24, 5]),
        ({"model__encoder__depth": 1, "model__weights": None}, [24, 5]),
        ({"data__image_size": [16, 16]}, [24, 5]),
        ({"prompts__jitter": 2.0}, []),
        ({"training__batch_size": 2}, []),
        ({"optimizer__lr": 0.1}, []),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_what_embeddings_follow_from_is_their_name(
    make: Callable[..., Job], encoded: list[int], values: dict[str, Any], again: list[int]
) -> None:
    read(augmented(make()))
    read(augmented(make()).with_values({path.replace("__", "."): value for path, value in values.items()}))
    assert encoded == [24, 5, *again]


def test_other_weights_make_other_embeddings(make: Callable[..., Job], place: Path, encoded: list[int]) -> None:
    first = read(make())
    other = read(make(model__weights=str(place / "1.safetensors")))
    assert encoded == [12, 5, 12, 5]
    assert not np.allclose(rows_of(first.train)["embedding"], rows_of(other.train)["embedding"], atol=0.01)


def test_parts_of_a_split_are_encoded_by_themselves(
    make: Callable[..., Job], encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = augmented(make(), brightness={"amount": 0.0})
    monkeypatch.setattr(embeddings.EmbeddingExtractor, "part_rows", 5)
    data = read(job)
    assert encoded == [10, 10, 4, 5]
    train = rows_of(data.train)
    sources = source_rows([10, 10, 4], copies=1)
    assert sources.tolist() == [*range(5)] * 2 + [*range(5, 10)] * 2 + [10, 11] * 2
    assert data.train.names([0, 7, 23]) == ["train-0", "train-2", "train-11"]
    occurring = data.train.classes()
    assert occurring.rows == 24
    for row, source in enumerate(sources.tolist()):
        own = occurring.classes[occurring.starts[row] : occurring.starts[row + 1]]
        assert (1 in own) == (source % 4 > 0)
    # No two copies are drawn alike, whichever part they are in.
    kept = [np.array_equal(train["image"][row], train["image"][row - 5]) for row in (*range(5, 10), *range(15, 20))]
    assert set(kept) == {True, False}
    assert kept[:5] != kept[5:]


def test_embeddings_that_are_no_numbers_are_refused_with_their_row(
    make: Callable[..., Job], place: Path, encoded: list[int], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    state = load_file(place / "0.safetensors")
    state["vision_encoder.neck.layer_norm2.weight"] *= 1e6
    save_file(state, tmp_path / "huge.safetensors")
    with pytest.raises(
        DataError, match=r"the embeddings of row 0 of split train are not finite, nor those of 11 other"
    ):
        read(make(model__weights=str(tmp_path / "huge.safetensors")))


def test_no_more_images_go_through_the_encoder_than_a_worker_trains_on(
    make: Callable[..., Job], encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    inner = Sam.embeddings

    def noted(sam: Sam, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return inner(sam, images)

    monkeypatch.setattr(Sam, "embeddings", noted)
    read(make(resources__workers=2))
    assert seen == [2] * 6 + [2, 2, 1]
    read(make(training__batch_size=64, training__seed=1, data__image_size=[16, 16]))
    assert max(seen) == embeddings.MOST_AT_A_TIME


def test_weights_that_are_others_where_images_are_embedded_are_refused(
    make: Callable[..., Job], encoded: list[int]
) -> None:
    job = make()
    train, _ = readers_of(job, Dataset.open(job.data.path))
    assert isinstance(train.extractor, embeddings.EmbeddingExtractor)
    others = replace(train, extractor=replace(train.extractor, weights="of another file"))
    with pytest.raises(StorageError, match=r"0\.safetensors are others on .* than on the machine that runs"):
        others.extract(others.parts()[0], "cpu")


def test_a_file_of_weights_is_read_once_while_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, opened = tmp_path / "weights.pt", []
    inner = Path.open

    def noted(path: Path, *arguments: Any) -> Any:
        opened.append(path)
        return inner(path, *arguments)

    weights.write_bytes(b"some")
    monkeypatch.setattr(Path, "open", noted)
    assert len({file_digest(weights) for _ in range(3)}) == len(opened) == 1
    inner(weights, "wb").write(b"others")
    assert file_digest(weights) == hashlib.sha256(b"others").hexdigest()


def test_training_on_embeddings_is_training_on_images(make: Callable[..., Job], encoded: list[int]) -> None:
    """Without augmentation, float16 apart: the same metrics from the first epoch to the last."""
    shared, anew = make(), make(model__embeddings__name="each_step")
    dataset = Dataset.open(shared.data.path)
    on_embeddings, on_images = Trial(shared, read(shared)), Trial(anew, read_here(dataset, anew.data, anew.prompts))
    for _ in range(2):
        ours, theirs = on_embeddings.epoch(), on_images.epoch()
        for name in ("train/loss", "val/loss", "val/iou", "val/dice"):
            assert ours[name] == pytest.approx(theirs[name], rel=5e-3), name


def test_a_checkpoint_holds_no_image_encoder(make: Callable[..., Job], encoded: list[int]) -> None:
    job = make()
    trial = Trial(job, read(job))
    trial.epoch()
    state = from_bytes(to_bytes(trial.state()))
    assert {name.partition(".")[0] for name in state["learner"]["model"]} == {"prompt_encoder", "mask_decoder"}
    again = Trial(job, read(job))
    again.load_state(state)
    assert again.evaluate() == trial.evaluate()
    # And it is put back on the whole.
    sam = whole(job.model.settings, (3, SIDE, SIDE))
    missing, unexpected = sam.load_state_dict(state["learner"]["model"], strict=False)
    assert not unexpected
    assert {name.partition(".")[0] for name in missing} == {"vision_encoder"}


def test_a_tiny_sam_learns_to_segment_blobs(make: Callable[..., Job], encoded: list[int]) -> None:
    job = augmented(make(training__epochs=20, model__weights=None, optimizer__lr=3e-3, prompts__per="mask"))
    trial = Trial(job, read(job))
    while not trial.done:
        trial.epoch()
    first, last = trial.history[0], trial.history[-1]
    assert last["val/iou"] > 0.3 + first["val/iou"] or last["val/iou"] > 0.7
    assert last["train/loss"] < 0.7 * first["train/loss"]
    live = trial.live_values()
    assert live["model.embeddings.copies"] == 1
    assert live["prompts.most"] == 3


def test_a_model_of_ones_own_is_called_with_images_and_boxes(
    make: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_promptable.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.level = torch.nn.Parameter(torch.zeros(2))\n"
        "    def forward(self, images, boxes):\n"
        "        assert boxes.shape[1:] == (3, 4)\n"
        "        bright = images.mean(1, keepdim=True)\n"
        "        return (bright * self.level[0] + self.level[1]).expand(-1, boxes.shape[1], -1, -1)\n"
        "def build(image, outputs):\n"
        "    return Net()\n"
    )
    data = {**make().to_dict(), "model": {"name": "own_promptable:build"}, "optimizer": {"name": "adam", "lr": 0.3}}
    job = Job.from_dict(data)
    read_data = read_here(Dataset.open(job.data.path), job.data, job.prompts)
    trial = Trial(job, read_data, directory=tmp_path)
    losses = [trial.epoch()["train/loss"] for _ in range(2)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("embeddings", ["once", "each_step"])
def test_a_state_is_measured_as_its_trial_was(embeddings: str, make: Callable[..., Job], encoded: list[int]) -> None:
    job = make() if embeddings == "once" else make(model__embeddings="each_step")
    dataset = Dataset.open(job.data.path)
    data = read(job) if embeddings == "once" else read_here(dataset, job.data, job.prompts)
    trial = Trial(job, data)
    metrics = trial.epoch()
    state = from_bytes(to_bytes(trial.state()))
    encoded.clear()

    split = job_to_measure(job, {}, state, "val")
    measured = measure(split, dataset.manifest, read_parts_here(split, dataset, "cpu"), state, member=Member())

    assert measured == {name: value for name, value in metrics.items() if name.startswith("val/")}
    assert encoded == [], "they were there"
