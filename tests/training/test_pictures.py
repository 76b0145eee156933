"""A trial's pictures: which images, what is in the files, and that they cost a trial nothing but time."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainyard.data.dataset import Dataset
from trainyard.data.local import read_here
from trainyard.data.location import Location
from trainyard.data.manifest import Annotation
from trainyard.data.shapes import DecodeSettings
from trainyard.data.split import MemorySplit, TrialData
from trainyard.data.stream import StreamedSplit
from trainyard.spec.job import Job
from trainyard.spec.training import DataSettings
from trainyard.tasks.semantic_segmentation import SemanticSegmentation
from trainyard.training.extraction.here import read_extracted_here
from trainyard.training.pictures import Drawn
from trainyard.training.trial import Trial

SAM = {"name": "sam", "architecture": "tiny", "encoder": {"side": 32, "patch": 8, "width": 16, "depth": 1}}
SECTIONS: dict[str, dict[str, Any]] = {
    "mask": {
        "task": "semantic_segmentation",
        "model": {"name": "unet", "channels": [4, 8]},
        "loss": {"cross_entropy": {}},
        "objective": {"metric": "val/miou", "mode": "max"},
    },
    "boxes": {
        "task": "detection",
        "model": {"name": "centernet", "channels": [4, 8]},
        "loss": {"heatmap": {}, "size": {}, "offset": {}},
        "objective": {"metric": "val/map50", "mode": "max"},
    },
    "prompted": {
        "task": "promptable_segmentation",
        "model": {**SAM, "embeddings": "each_step"},
        "prompts": {"per": "component", "most": 3},
        "loss": {"binary_cross_entropy": {}},
        "objective": {"metric": "val/iou", "mode": "max"},
    },
}
SECTIONS["embedded"] = SECTIONS["prompted"] | {"model": {**SAM, "embeddings": "shared"}}
Begin = Callable[..., Trial]


@pytest.fixture
def begin(shapes: Callable[[Annotation], Path], make_job: Callable[..., Job]) -> Begin:
    """begin("mask", **sections): a trial that has not trained yet."""

    def trial(kind: str, *, data: TrialData | None = None, **sections: Any) -> Trial:
        path = shapes("boxes" if kind == "boxes" else "mask")
        job = make_job(data={"path": str(path)}, **SECTIONS[kind] | {"training": {"batch_size": 8}} | sections)
        return Trial(job, data or read(job, Dataset.open(path)))

    return trial


def read(job: Job, dataset: Dataset) -> TrialData:
    found = read_extracted_here(job, dataset, "cpu") if job.model.extracts else None
    return found if isinstance(found, TrialData) else read_here(dataset, job.data, job.prompts)


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_trial_draws_four_images_of_the_evaluation_split(begin: Begin, kind: str, tmp_path: Path) -> None:
    drawn = begin(kind).draw(tmp_path / "pictures")

    assert (drawn.epoch, drawn.trouble) == (0, "")
    assert len(drawn.files) == 4
    assert sorted(drawn.files) == sorted(path.name for path in (tmp_path / "pictures").glob("*.png"))
    assert Drawn.kept(Location.of(tmp_path / "pictures")) == drawn
    assert {int(name.removesuffix(".png")) for name in drawn.files} <= set(range(6))
    assert all(Image.open(tmp_path / "pictures" / name).width > 400 for name in drawn.files)


def test_every_trial_draws_the_same_images_and_fewer_are_the_first_of_more(begin: Begin, tmp_path: Path) -> None:
    four = begin("mask").draw(tmp_path / "a").files
    other = begin("mask", optimizer={"name": "sgd", "lr": 0.1}, training={"batch_size": 4, "seed": 7}).draw(
        tmp_path / "b"
    )
    two = begin("mask", pictures={"images": 2}).draw(tmp_path / "c").files

    assert other.files == four
    for name in four:
        one, another = (np.asarray(Image.open(tmp_path / folder / name)) for folder in "ab")
        known = (slice(50, 266), slice(0, one.shape[1] // 2))
        assert (one[known] == another[known]).all(), "the image and its truth are the same, whatever is answered"
    assert two == four[:2]


def test_images_are_drawn_as_they_are_beside_their_embeddings_too(begin: Begin, tmp_path: Path) -> None:
    prompted, embedded = (begin(kind).draw(tmp_path / kind).files for kind in ("prompted", "embedded"))
    assert prompted == embedded
    for name in embedded:
        one, another = (np.asarray(Image.open(tmp_path / kind / name)) for kind in ("prompted", "embedded"))
        known = (slice(50, 266), slice(0, one.shape[1] // 2))
        assert (one[known] == another[known]).all()
        assert one[known].std() > 30


def test_a_class_that_few_images_have_is_among_them(begin: Begin, tmp_path: Path) -> None:
    files = begin("mask", pictures={"images": 2}).draw(tmp_path).files
    assert {"00002.png", "00005.png"} & set(files), "only these have green in them"


def test_the_truth_in_the_file_is_that_of_the_row(begin: Begin, tmp_path: Path) -> None:
    trial = begin("mask", pictures={"images": 6})
    trial.draw(tmp_path)

    first = np.asarray(Image.open(tmp_path / "00000.png")).astype(int)
    third = np.asarray(Image.open(tmp_path / "00002.png")).astype(int)
    # Row 2 has a red and a green box: bright pixels of both colours in its first panel, row 0 only red ones.
    left = (slice(50, 266), slice(14, 302))
    assert (first[left][..., 1] > 200).sum() == 0
    assert (third[left][..., 1] > 200).sum() == (third[left][..., 0] > 200).sum() == 81 * 120


def test_drawing_changes_nothing_of_what_is_learnt(begin: Begin, tmp_path: Path) -> None:
    drawing, silent = (
        begin("mask", training={"batch_size": 8, "epochs": 2}),
        begin("mask", training={"batch_size": 8, "epochs": 2}),
    )
    for trial in (drawing, silent):
        trial.epoch()
    assert drawing.draw(tmp_path).trouble == ""

    one, two = drawing.epoch(), silent.epoch()
    assert {name: one[name] for name in one if not name.startswith("seconds/")} == {
        name: two[name] for name in two if not name.startswith("seconds/")
    }


def test_what_is_random_while_drawing_leaves_no_trace(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, drawn = SemanticSegmentation.pictures, []

    def noisy(*arguments: Any) -> Any:
        drawn.append(float(torch.rand(1)))
        return draw(*arguments)

    monkeypatch.setattr(SemanticSegmentation, "pictures", noisy)
    trial = begin("mask")
    before = torch.get_rng_state()
    trial.draw(tmp_path)
    trial.draw(tmp_path)

    assert torch.equal(torch.get_rng_state(), before)
    assert len(drawn) == 2
    assert drawn[0] == drawn[1]


def test_the_number_of_images_is_read_back(begin: Begin) -> None:
    assert begin("mask").live_values()["pictures.images"] == 4
    assert begin("mask", pictures={"images": 0}).draws is False


def test_a_classifier_draws_none(make_job: Callable[..., Job], data: TrialData) -> None:
    trial = Trial(make_job(), data)
    assert trial.draws is False
    assert "pictures.images" not in trial.live_values()


def test_what_is_drawn_later_takes_the_place_of_what_was(begin: Begin, tmp_path: Path) -> None:
    trial = begin("mask", optimizer={"name": "adamw", "lr": 0.02})
    (name, *_) = trial.draw(tmp_path).files
    before = (tmp_path / name).read_bytes()
    trial.epoch()
    trial.draw(tmp_path)

    assert (tmp_path / name).read_bytes() != before
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_a_folder_that_cannot_be_written_is_told(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    trial = begin("mask")
    trial.epoch()

    drawn = trial.draw(tmp_path / "file" / "pictures")

    assert drawn.files == ()
    assert drawn.trouble.endswith("can't be written: Not a directory")
    assert trial.epoch()["val/miou"] >= 0


def test_a_picture_that_cannot_be_renewed_goes(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = begin("mask")
    names = trial.draw(tmp_path).files

    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if names[1] in self.name:
            write(self, b"half of a picture")
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    drawn = trial.draw(tmp_path)

    assert drawn.files == (names[0], *names[2:])
    assert f"{names[1]} can't be written: No space left on device" in drawn.trouble
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*drawn.files, "drawn.json"])
    assert Drawn.kept(Location.of(tmp_path)) == drawn


def test_an_error_while_drawing_is_told_and_not_raised(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr(SemanticSegmentation, "pictures", broken)

    assert begin("mask").draw(tmp_path).trouble.startswith("model unet, pictures: ValueError: no such colour")


def test_after_an_error_no_picture_of_an_earlier_epoch_is_left(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = begin("mask")
    assert len(trial.draw(tmp_path).files) == 4
    save = Image.Image.save

    def broken(self: Image.Image, path: BytesIO, **options: Any) -> None:
        written.append(path)
        if len(written) == 2:
            raise ValueError("no such mode")
        save(self, path, **options)

    written: list[BytesIO] = []
    monkeypatch.setattr(Image.Image, "save", broken)
    trial.epoch()
    drawn = trial.draw(tmp_path)

    assert (drawn.epoch, drawn.files) == (1, ())
    assert "no such mode" in drawn.trouble
    assert list(tmp_path.glob("*.png")) == []
    assert Drawn.kept(Location.of(tmp_path)) == drawn


def test_more_images_than_a_batch_of_the_evaluation_takes(begin: Begin, tmp_path: Path) -> None:
    trial = begin("mask", training={"batch_size": 1}, pictures={"images": 6})
    assert len(trial.draw(tmp_path).files) == 6


def test_images_whose_names_are_not_known_go_without(
    begin: Begin, shapes: Callable[[Annotation], Path], tmp_path: Path
) -> None:
    path = shapes("mask")
    data = read_here(Dataset.open(path), DataSettings(path=str(path)))
    assert isinstance(data.evaluate, MemorySplit)
    nameless = MemorySplit(data.evaluate.chunks, data.evaluate.classes)

    drawn = begin("mask", data=TrialData(manifest=data.manifest, train=data.train, evaluate=nameless)).draw(tmp_path)

    assert (len(drawn.files), drawn.trouble) == (4, "")


def test_a_streamed_split_draws_what_one_in_memory_draws(
    begin: Begin, shapes: Callable[[Annotation], Path], tmp_path: Path
) -> None:
    dataset = Dataset.open(shapes("mask"))
    data = read_here(dataset, DataSettings(path=dataset.path))
    streamed = StreamedSplit(dataset, "val", DecodeSettings(), store_bytes=1 << 20, tasks=1)

    one = begin("mask").draw(tmp_path / "memory")
    other = begin("mask", data=TrialData(manifest=data.manifest, train=data.train, evaluate=streamed)).draw(
        tmp_path / "stream"
    )

    assert one == other
    assert [(tmp_path / "memory" / name).read_bytes() for name in one.files] == [
        (tmp_path / "stream" / name).read_bytes() for name in one.files
    ]


def test_rows_are_read_once(
    begin: Begin, shapes: Callable[[Annotation], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.open(shapes("mask"))
    data = read_here(dataset, DataSettings(path=dataset.path))
    streamed = StreamedSplit(dataset, "val", DecodeSettings(), store_bytes=1 << 20, tasks=1)
    trial = begin("mask", data=TrialData(manifest=data.manifest, train=data.train, evaluate=streamed))
    take, taken = StreamedSplit.take, []

    def counted(self: StreamedSplit, rows: np.ndarray) -> Any:
        taken.extend(rows.tolist())
        return take(self, rows)

    monkeypatch.setattr(StreamedSplit, "take", counted)
    for _ in range(2):
        trial.draw(tmp_path)

    assert len(taken) == 4
