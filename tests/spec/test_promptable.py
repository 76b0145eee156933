"""Jobs of promptable segmentation: prompts, SAM's settings, and what can be searched where embeddings are made once."""

from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.planning import extraction_words
from trainyard.data.manifest import FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.errors import DataError, InfeasibleError, SpecError
from trainyard.spec import check
from trainyard.spec.fitting import training_copies
from trainyard.spec.job import Job
from trainyard.spec.models.promptable import Sam
from trainyard.spec.space import Space
from trainyard.sweep.plan import make_extraction_plan
from trainyard.tasks.fitting import require_fit


def sam(**sections: Any) -> dict[str, Any]:
    return {
        "name": "nuclei-sam",
        "task": "promptable_segmentation",
        "data": {"path": "data/nuclei", "channels": 3},
        "model": {"name": "sam", "architecture": "tiny"},
        "prompts": {"per": "component"},
        "loss": {"binary_cross_entropy": {"weight": 0.5}, "dice": {"weight": 0.5}},
        "optimizer": {"name": "adam", "lr": 1e-4},
        "training": {"epochs": 2, "batch_size": 4},
        "objective": {"metric": "val/iou", "mode": "max"},
        **sections,
    }


def told(data: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        Job.from_dict(data)
    return [problem.message for problem in caught.value.problems]


def test_a_job_comes_back_from_its_plain_values() -> None:
    job = Job.from_dict(sam(model={"name": "sam", "architecture": "tiny", "embeddings": "each_step"}))
    assert Job.from_dict(job.to_dict()) == job
    assert Job.from_dict(job.stated()) == job
    assert not job.model.extracts
    assert job.values()["model.embeddings.name"] == "each_step"
    assert job.values()["prompts.most"] == 8


@pytest.mark.parametrize(
    ("sections", "messages"),
    [
        ({"prompts": None}, ["prompts is missing. Add it, such as prompts: {per: mask}."]),
        ({"prompts": {"per": "object"}}, ['prompts.per must be mask or component, got "object".']),
        ({"prompts": {"most": 255}}, ["prompts.most must be <= 254, got 255."]),
        ({"prompts": {"jitter": -1}}, ["prompts.jitter must be >= 0, got -1."]),
        (
            {"loss": {"cross_entropy": {}}},
            [
                "loss.cross_entropy doesn't fit the task promptable_segmentation, which takes binary_cross_entropy, "
                "dice, focal, jaccard, lovasz or tversky."
            ],
        ),
        (
            {"loss": {"binary_cross_entropy": {"class_weights": "auto"}}},
            [
                "loss.binary_cross_entropy.class_weights must be none with prompts.per: component, got auto: an object "
                "is compared with all else, other objects too, and a data set counts the pixels of classes only. Set "
                "loss.binary_cross_entropy.positive_weight for more weight on objects."
            ],
        ),
        (
            {"prompts": {"per": "mask"}, "loss": {"focal": {"class_weights": "median_frequency"}}},
            [
                "loss.focal.class_weights must not be median_frequency for the task promptable_segmentation: each "
                "image that counts has both an object and a background, so it would be inverse_frequency. Name that."
            ],
        ),
        (
            {"model": {"name": "sam", "architecture": "sam-vit-base", "encoder": {"side": 64}}},
            ["model.encoder is of the architecture tiny, and sam-vit-base has sizes of its own. Remove it."],
        ),
        (
            {"model": {"name": "sam", "architecture": "tiny", "encoder": {"side": 100, "patch": 16, "width": 20}}},
            [
                "model.encoder.side must be divisible by its patch, got side=100, patch=16.",
                "model.encoder.width must be divisible by 8, got 20.",
            ],
        ),
        (
            {"model": {"name": "sam", "architecture": "sam-vit-base", "weights": "DEFAULT"}},
            [
                "model.weights must be a repository such as facebook/sam-vit-base, a folder such as ./sam, or a file "
                'that ends in .safetensors, .pt or .pth, got "DEFAULT".'
            ],
        ),
        (
            {"model": {"name": "sam", "architecture": "sam-vit-base", "weights": "https://hf.co/sam"}},
            [
                'model.weights must be on a disk or the name of a repository, got "https://hf.co/sam". Download it '
                "first."
            ],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told(sections: dict[str, Any], messages: list[str]) -> None:
    data = {name: value for name, value in sam(**sections).items() if value is not None}
    assert told(data) == messages


def test_prompts_are_for_promptable_segmentation_only() -> None:
    other = sam(
        task="semantic_segmentation",
        model={"name": "unet"},
        loss={"cross_entropy": {}},
        objective={"metric": "val/miou", "mode": "max"},
    )
    assert told(other) == [
        "prompts doesn't fit the task semantic_segmentation: its models are asked for no object in particular. Remove "
        "it."
    ]


def space(path: str, **numbers: Any) -> Space:
    return Space.from_dict({"parameters": {path: numbers or {"type": "float", "low": 0.1, "high": 0.9}}})


AUGMENTED = {"augmentations": {"horizontal_flip": {"p": 0.5}}}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("augmentations.horizontal_flip.p", "augmented images are embedded once for all trials"),
        ("training.seed", "images are augmented once for all trials"),
        ("model.embeddings.copies", "embeddings are made once for all trials"),
        ("model.encoder.depth", "embeddings are made once for all trials"),
    ],
)
def test_what_embeddings_follow_from_cannot_be_searched_while_they_are_shared(path: str, reason: str) -> None:
    whole = path.endswith((".seed", ".copies", ".depth"))
    searched = space(path, **({"type": "int", "low": 1, "high": 3} if whole else {}))
    model = {"name": "sam", "architecture": "tiny", "encoder": {"depth": 2}}
    with pytest.raises(SpecError, match=rf"{path} can't be searched: {reason}.*model\.embeddings: each_step"):
        check(Job.from_dict(sam(**AUGMENTED, model=model)), searched)
    if path != "model.embeddings.copies":
        check(Job.from_dict(sam(**AUGMENTED, model=model | {"embeddings": "each_step"})), searched)


@pytest.mark.parametrize("embeddings", ["shared", "each_step"])
def test_when_images_are_embedded_cannot_be_searched(embeddings: str) -> None:
    job = Job.from_dict(sam(model={"name": "sam", "architecture": "tiny", "embeddings": embeddings}))
    choices = {"type": "categorical", "choices": ["each_step", "shared"]}
    with pytest.raises(SpecError, match=r"model\.embeddings\.name can't be searched"):
        check(job, space("model.embeddings.name", **choices))


def test_a_model_that_is_trained_on_embeddings_is_not_searched_beside_one_that_is_trained_on_images() -> None:
    job = Job.from_dict(sam(model={"name": "nets:build", "architecture": "tiny"}))
    choices = {"type": "categorical", "choices": ["nets:build", "sam"]}
    with pytest.raises(SpecError) as caught:
        check(job, space("model.name", **choices))
    assert [problem.message for problem in caught.value.problems] == [
        "choices[1] of model.name: model.name=sam is trained on what is extracted from images once for all "
        "trials, and the job's model nets:build on images. Search either in a sweep of its own."
    ]


def test_what_makes_no_difference_to_shared_embeddings_is_refused() -> None:
    data = {"path": "data/nuclei", "channels": 3, "loading": "streamed"}
    assert told(sam(data=data)) == [
        "data.loading must be auto with model.embeddings: shared, got streamed: trials are trained on embeddings, "
        "which are all in memory. Remove it, or set model.embeddings: each_step."
    ]
    model = {"name": "sam", "architecture": "tiny"}
    none = {**model, "embeddings": {"name": "shared", "copies": 0}}
    assert told(sam(**AUGMENTED, model=none)) == [
        "augmentations must be absent with model.embeddings.copies=0: only copies of images are augmented before all "
        "are embedded. Remove them, or set model.embeddings.copies to 1 or more."
    ]
    Job.from_dict(sam(model=none))
    Job.from_dict(sam(**AUGMENTED, data=data, model={**model, "embeddings": "each_step"}))


def test_which_objects_there_are_cannot_be_searched_and_how_many_are_asked_for_can() -> None:
    choices = {"type": "categorical", "choices": ["mask", "component"]}
    with pytest.raises(SpecError, match=r"prompts\.per can't be searched: objects are told apart once for all trials"):
        check(Job.from_dict(sam()), space("prompts.per", **choices))
    for path in ("prompts.jitter", "optimizer.lr", "loss.dice.weight"):
        check(Job.from_dict(sam()), space(path))
    check(Job.from_dict(sam()), space("prompts.most", type="int", low=1, high=8))


@pytest.mark.parametrize("weights", ["inverse_frequency", "auto", {"name": "effective_number", "beta": 0.9}])
def test_one_object_for_each_mask_can_be_weighed_against_the_rest(weights: Any) -> None:
    Job.from_dict(sam(prompts={"per": "mask"}, loss={"binary_cross_entropy": {"class_weights": weights}}))


def test_class_weights_of_single_objects_cannot_be_searched() -> None:
    searched = space("loss.focal.class_weights.name", type="categorical", choices=["none", "auto"])
    job = Job.from_dict(sam(loss={"focal": {}}))
    with pytest.raises(SpecError, match=r"focal\.class_weights must be none with prompts\.per: component, got auto"):
        check(job, searched)


def test_there_are_copies_only_of_what_is_augmented() -> None:
    assert training_copies(Job.from_dict(sam())) == 0
    assert training_copies(Job.from_dict(sam(**AUGMENTED))) == 1
    anew = {"name": "sam", "architecture": "tiny", "embeddings": "each_step"}
    assert training_copies(Job.from_dict(sam(**AUGMENTED, model=anew))) == 0


def test_a_folder_of_weights_is_found_and_a_repository_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "weights" / "sam").mkdir(parents=True)
    places = {"weights/sam": str(tmp_path / "weights/sam"), "a/b.pt": str(tmp_path / "a/b.pt"), "own/repo": "own/repo"}
    for stated, found in places.items():
        model = Sam(name="sam", architecture="sam-vit-base", weights=stated)
        assert model.located(tmp_path).weights == found


def manifest(totals: tuple[int, ...] = (900, 100), rows: int = 100) -> Manifest:
    facts = SplitFacts(
        rows=rows,
        files=(FileFacts(name="x", rows=rows),),
        class_images=(rows,) * len(totals),
        class_totals=totals,
        pixel_mean=(0.0,) * 3,
        pixel_std=(0.0,) * 3,
        fingerprint="",
    )
    return Manifest(
        source="",
        annotation="mask",
        classes=("ground", "nucleus", "cell")[: len(totals)],
        image=ImageFacts(channels=3, encoding="file", smallest=(64, 64), largest=(64, 64)),
        splits={"train": facts, "val": facts},
        fingerprint="",
    )


def test_the_plan_knows_what_embeddings_take() -> None:
    base = {"name": "sam", "architecture": "sam-vit-base", "embeddings": {"name": "shared", "copies": 2}}
    job = Job.from_dict(sam(**AUGMENTED, model=base))
    plan = make_extraction_plan(job, manifest(), [{"CPU": 2.0, "object_store_memory": 2.0**30}])
    row = 2 * 256 * 64 * 64 + 4 * 64 * 64
    assert plan is not None
    assert plan.as_dict() == {
        "what": "embeddings of sam-vit-base",
        "rows": {"train": 300, "val": 100},
        "bytes": {"train": 300 * row, "val": 100 * row},
    }
    assert extraction_words(plan) == (
        "embeddings of sam-vit-base, extracted once and shared: train 300 rows (605 MiB), val 100 rows (202 MiB)"
    )
    with pytest.raises(
        InfeasibleError, match=r"embeddings of train \(605 MiB\) and val .* Set fewer model\.embeddings"
    ):
        make_extraction_plan(job, manifest(), [{"CPU": 2.0, "object_store_memory": 2.0**29}])
    # A node without room for a worker has no copy of them.
    head = {"CPU": 0.0, "object_store_memory": 1.0}
    assert make_extraction_plan(job, manifest(), [{"CPU": 2.0, "object_store_memory": 2.0**30}, head]) == plan
    anew = job.with_values({"model.embeddings.name": "each_step"})
    assert make_extraction_plan(anew, manifest(), []) is None


@pytest.mark.parametrize(("sections", "rows"), [(AUGMENTED, 300), ({}, 100)], ids=["augmented", "as it is"])
def test_one_split_to_train_and_to_evaluate_on_is_there_with_copies_and_without(
    sections: dict[str, Any], rows: int
) -> None:
    data = {"path": "data/nuclei", "channels": 3, "evaluate_split": "train"}
    plan = make_extraction_plan(Job.from_dict(sam(**sections, data=data)), manifest(), [])
    assert plan is not None
    assert plan.rows == {"train": rows}


def test_a_split_without_an_object_is_refused() -> None:
    with pytest.raises(DataError, match=r"split train of data/nuclei, which data\.train_split names, has no object"):
        require_fit(Job.from_dict(sam()), manifest((1000, 0)))
    require_fit(Job.from_dict(sam()), manifest())


def test_an_epoch_may_be_as_long_as_the_rows_with_their_copies() -> None:
    training = {"epochs": 2, "batch_size": 4, "steps_per_epoch": 50}
    require_fit(Job.from_dict(sam(**AUGMENTED, training=training)), manifest())
    with pytest.raises(DataError, match=r"steps_per_epoch=50, a pass=25"):
        require_fit(Job.from_dict(sam(training=training)), manifest())


def test_objects_may_be_of_any_number_of_classes() -> None:
    require_fit(Job.from_dict(sam()), manifest((700, 200, 100)))
