"""Faster R-CNN, held against torchvision's."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool

from trainyard.errors import TrialError
from trainyard.models.anchors import anchor_grid
from trainyard.models.detector import Targets
from trainyard.models.faster_rcnn import FasterRcnn

IMAGE = (3, 64, 96)
TERMS = {"classification", "box", "objectness", "proposal_box"}
SMALL: dict[str, Any] = {
    "backbone": {"architecture": "vgg11", "width": 0.125},
    "anchors": {"sizes": [12, 30], "ratios": [0.5, 1, 2]},
    "rpn": {"channels": 16, "before_nms": 200, "after_nms": 50, "evaluated": 40},
    "box_head": {"widths": [24, 20]},
}
EVERYTHING = {"samples": 100_000, "positive_share": 1.0}


def model_of(**settings: Any) -> FasterRcnn:
    return FasterRcnn(image=IMAGE, outputs=3, **{**SMALL, **settings})


def sampling_everything(**settings: Any) -> FasterRcnn:
    return model_of(rpn=SMALL["rpn"] | EVERYTHING, box_head=SMALL["box_head"] | EVERYTHING, **settings)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, *IMAGE, generator=torch.Generator().manual_seed(1))


TARGETS = Targets(
    boxes=torch.tensor(
        [[[4.0, 4, 30, 26], [50, 20, 80, 60]], [[10, 10, 26, 40], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]]
    ),
    labels=torch.tensor([[0, 2], [1, -1], [-1, -1]]),
    crowd=torch.zeros(3, 2, dtype=torch.bool),
)
"""Two boxes, one, and none."""


def only(image: int) -> Targets:
    return Targets(*(part[image : image + 1] for part in TARGETS))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_vgg16_has_its_parameters() -> None:
    with torch.device("meta"):
        model = FasterRcnn(image=(3, 224, 224), outputs=3, anchors={"sizes": "auto", "ratios": "auto"})
    convolutions = sum(
        9 * before * after + after for before, after in pairwise([3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6])
    )
    proposals = (9 * 512 * 512 + 512) + (512 + 1) * 9 + (512 + 1) * 9 * 4
    dense = (512 * 7 * 7 + 1) * 4096 + (4096 + 1) * 4096
    answers = (4096 + 1) * (3 + 1) + (4096 + 1) * 4 * 3
    assert (parameters(model.backbone), convolutions) == (14_714_688, 14_714_688)
    assert parameters(model.rpn) == proposals == 2_382_893
    assert parameters(model.box_head) == dense + answers
    assert parameters(model) == 136_708_989 == convolutions + proposals + dense + answers
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.backbone.modules()) == 13
    assert model.rpn.stride == 16  # the last of five poolings is left out
    assert model.live_values()["anchors"] == {"sizes": [128, 256, 512], "ratios": [0.5, 1, 2], "scale": 1}


class CellCentres(AnchorGenerator):
    def __init__(self, model: FasterRcnn) -> None:
        super().__init__(sizes=((1,),), aspect_ratios=((1.0,),))
        self.model = model

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        rows, columns = feature_maps[0].shape[2:]
        return [anchor_grid(self.model.rpn.shapes, rows, columns, 16)] * len(image_list.image_sizes)

    def num_anchors_per_location(self) -> list[int]:
        return [len(self.model.rpn.shapes)]


class Reading(MultiScaleRoIAlign):
    def __init__(self, model: FasterRcnn) -> None:
        super().__init__(["features"], 7, 2)
        self.pool, self.own_scale = model.box_head.reading.pool, 1 / model.box_head.reading.stride

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        if self.pool == "max":
            return roi_pool(x["features"], boxes, (7, 7), self.own_scale)
        return roi_align(x["features"], boxes, (7, 7), self.own_scale, sampling_ratio=2, aligned=True)


class Predictor(nn.Module):
    """torchvision's has a box for the background, too, which is never used."""

    def __init__(self, model: FasterRcnn) -> None:
        super().__init__()
        self.head = model.box_head

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        deltas = self.head.deltas(hidden)
        return self.head.classes(hidden), torch.cat([torch.zeros(len(deltas), 4), deltas], dim=1)


def torchvisions(model: FasterRcnn) -> FasterRCNN:
    """The same net of torchvision's parts, with the same weights; it samples everything."""
    model.backbone.out_channels = 64  # type: ignore[assignment]
    head = RPNHead(64, len(model.rpn.shapes))
    head.conv = nn.Sequential(model.rpn.convolution, nn.ReLU())
    head.cls_logits, head.bbox_pred = model.rpn.objectness, model.rpn.deltas
    net = FasterRCNN(
        model.backbone,
        rpn_anchor_generator=CellCentres(model),
        rpn_head=head,
        rpn_pre_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=50,
        rpn_post_nms_top_n_test=40,
        rpn_batch_size_per_image=100_000,
        rpn_positive_fraction=1.0,
        box_roi_pool=Reading(model),
        box_head=nn.Sequential(nn.Flatten(), model.box_head.layers),
        box_predictor=Predictor(model),
        box_batch_size_per_image=100_000,
        box_positive_fraction=1.0,
        min_size=64,
        max_size=96,
    )
    # So that answers differ, and some are sure.
    for layer in (model.rpn.objectness, model.rpn.deltas, model.box_head.classes, model.box_head.deltas):
        nn.init.normal_(layer.weight, std=0.3)
    return net


NAMES = {
    "loss_classifier": "classification",
    "loss_box_reg": "box",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
}


@pytest.mark.parametrize("pool", ["align", "max"])
def test_losses_are_the_means_over_the_images_of_torchvisions(images: Tensor, pool: str) -> None:
    model = sampling_everything(pool=pool).train()
    net = torchvisions(model).train()
    own: dict[str, list[Tensor]] = {name: [] for name in TERMS}
    for image in range(3):
        learnt = TARGETS.labels[image] >= 0
        target = {"boxes": TARGETS.boxes[image][learnt], "labels": TARGETS.labels[image][learnt] + 1}
        for name, loss in net([images[image]], [target]).items():
            own[NAMES[name]].append(loss)
    losses, found = model(images, TARGETS)
    assert found == []
    assert set(losses) == TERMS
    for name, loss in losses.items():
        torch.testing.assert_close(loss, torch.stack(own[name]).mean())
        assert loss > 0


def test_what_is_found_is_what_torchvision_finds(images: Tensor) -> None:
    model = sampling_everything().eval()
    expected = torchvisions(model).eval()(list(images))
    losses, found = model(images)
    assert losses == {}
    assert sum(len(one["labels"]) for one in found) > 20
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours["boxes"], theirs["boxes"])
        torch.testing.assert_close(ours["scores"], theirs["scores"])
        assert ours["labels"].tolist() == (theirs["labels"] - 1).tolist()


@pytest.mark.parametrize("pool", ["align", "max"])
@pytest.mark.parametrize("norm", ["", "_bn"])
def test_everything_that_is_trained_has_a_part_in_the_losses(images: Tensor, pool: str, norm: str) -> None:
    """Also of images of which none has a box, as other workers expect a gradient of each parameter."""
    backbone = {"architecture": f"vgg11{norm}", "width": 0.125}
    for targets in (TARGETS, Targets(*(part[2:].expand(3, *part.shape[1:]) for part in TARGETS))):
        model = model_of(pool=pool, backbone=backbone)
        sum(model(images, targets)[0].values()).backward()
        assert [name for name, value in model.named_parameters() if value.grad is None] == []
        assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


def test_the_losses_of_an_evaluated_image_do_not_depend_on_its_batch(images: Tensor) -> None:
    """Nor on torch's random state: any number of workers evaluates to the same numbers."""
    model = model_of(rpn=SMALL["rpn"] | {"samples": 9}, box_head=SMALL["box_head"] | {"samples": 7}).eval()
    together, _ = model(images, TARGETS)
    alone = [model(images[image : image + 1], only(image))[0] for image in range(3)]
    for name, loss in together.items():
        torch.testing.assert_close(loss, torch.stack([one[name] for one in alone]).mean())


def test_training_draws_from_torchs_random_state(images: Tensor) -> None:
    model = model_of(rpn=SMALL["rpn"] | {"samples": 9}, box_head=SMALL["box_head"] | {"samples": 7})

    def losses(seed: int) -> dict[str, float]:
        torch.manual_seed(seed)
        return {name: loss.item() for name, loss in model(images, TARGETS)[0].items()}

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


def test_a_crowd_is_neither_learnt_nor_background(images: Tensor) -> None:
    """Whatever is answered within it: here the crowd covers all but one anchor's place."""
    model = sampling_everything()
    boxes = torch.tensor([[[0.0, 0, 96, 64]]])
    nothing, crowd = torch.tensor([[False]]), torch.tensor([[True]])
    label = torch.tensor([[1]])
    ignored, _ = model(images[:1], Targets(boxes, label, crowd))
    assert {name: loss.item() for name, loss in ignored.items()} == dict.fromkeys(TERMS, 0)
    learnt, _ = model(images[:1], Targets(boxes, label, nothing))
    background, _ = model(images[:1], only(2))
    assert all(learnt[name] > 0 for name in TERMS)
    assert background["objectness"] > 0


@pytest.mark.parametrize("box", [(20.0, 20, 20, 40), (20, 20, 10, 40), (30, 30, 30, 30)], ids=["flat", "upside", "dot"])
def test_a_box_without_an_area_is_none(images: Tensor, box: tuple[float, ...]) -> None:
    flat = Targets(torch.tensor([[box]]), torch.tensor([[1]]), torch.tensor([[False]]))
    model = sampling_everything()
    torch.testing.assert_close(model(images[:1], flat)[0], model(images[:1], only(2))[0])


def test_the_surest_boxes_are_left_sorted_and_apart(images: Tensor) -> None:
    model = model_of(found={"score": 0.1, "most": 7, "nms_iou": 0.3}).eval()
    torchvisions(model)
    _, found = model(images)
    for one in found:
        assert len(one["labels"]) == 7
        assert one["scores"].tolist() == sorted(one["scores"].tolist(), reverse=True)
        assert one["scores"].min() >= 0.1
        assert one["boxes"].amin() >= 0
        assert one["boxes"][:, 2].max() <= 96
        assert one["boxes"][:, 3].max() <= 64


@pytest.mark.parametrize("size", [(64, 96), (50, 75), (33, 130)])
def test_images_of_any_size_do(size: tuple[int, int]) -> None:
    model = model_of().eval()
    losses, found = model(torch.rand(1, 3, *size), only(0))
    assert set(losses) == TERMS
    assert len(found) == 1


def test_images_that_leave_nothing_are_refused() -> None:
    with pytest.raises(TrialError, match=r"images of 12x12 don't fit: .* Set data.image_size"):
        FasterRcnn(image=(3, 12, 12), outputs=3, **SMALL)


@pytest.mark.parametrize(
    ("backbone", "channels", "stride"),
    [
        ({"architecture": "vgg11", "width": 0.25}, 128, 16),
        ({"architecture": "vgg11_bn", "width": 0.25, "until": "features.20"}, 128, 8),
        ({"architecture": "resnet18", "until": "layer3"}, 256, 16),
        ({"architecture": "mobilenet_v3_small"}, 576, 32),
    ],
    ids=["vgg", "earlier", "resnet", "mobilenet"],
)
def test_any_feature_maps_do(backbone: dict[str, Any], channels: int, stride: int, images: Tensor) -> None:
    model = model_of(backbone=backbone)
    assert (model.rpn.convolution.in_channels, model.rpn.stride) == (channels, stride)
    assert all(loss.isfinite() for loss in model(images, TARGETS)[0].values())


def test_a_backbone_for_images_of_one_size_does_for_these() -> None:
    image = (3, 224, 224)
    model = FasterRcnn(image=image, outputs=3, **{**SMALL, "backbone": {"architecture": "maxvit_t"}})
    assert model.rpn.stride == 32
    assert set(model.train()(torch.rand(1, *image), only(0))[0]) == TERMS


def test_a_backbone_must_have_feature_maps() -> None:
    with pytest.raises(TrialError, match=r"flatten of resnet18 answers with 512 numbers .* Name another node"):
        model_of(backbone={"architecture": "resnet18", "until": "flatten"})


def test_what_is_frozen_is_not_trained(images: Tensor) -> None:
    model = model_of(freeze=["backbone.features.0", "backbone.features.3", "rpn"])
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert {name.rpartition(".")[0] for name in frozen} == {
        *("backbone.features.0", "backbone.features.3"),
        *("rpn.convolution", "rpn.objectness", "rpn.deltas"),
    }
    with pytest.raises(TrialError, match=r"freeze: no module or parameter is called backbone.features.99"):
        model_of(freeze=["backbone.features.99"])


def test_pretrained_weights_are_taken_over_up_to_the_last_convolution(tmp_path: Any) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    state = {f"features.{name}": value for name, value in make_layers(cfgs["A"]).state_dict().items()}
    state["classifier.0.bias"] = torch.full((4096,), torch.nan)  # as of the published VGG-16 that has features only
    torch.save(state, tmp_path / "vgg11.pth")
    model = model_of(backbone={"architecture": "vgg11", "weights": str(tmp_path / "vgg11.pth")})
    assert torch.equal(model.backbone.get_parameter("features.18.weight"), state["features.18.weight"])


def test_its_numbers_are_float32_whatever_the_forward_pass_is(images: Tensor) -> None:
    model = model_of().eval()
    with torch.autocast("cpu", torch.bfloat16):
        losses, found = model(images, TARGETS)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {value.dtype for value in found[0].values()} == {torch.float32, torch.int64}


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {
        **SMALL,
        "pool": "max",
        "pool_size": 5,
        "freeze": ["rpn"],
        "anchors": {"sizes": [12.5, 30], "ratios": [1], "scale": 1.5},
    }
    live = FasterRcnn(image=IMAGE, outputs=2, **settings).live_values()
    assert {name: live[name] for name in ("pool", "pool_size", "freeze", "anchors")} == {
        **{name: settings[name] for name in ("pool", "pool_size", "freeze")},
        "anchors": {"sizes": [12.5, 30.0], "ratios": [1.0], "scale": 1.5},
    }
    defaults = {"nms_iou": 0.7, "positive_iou": 0.7, "negative_iou": 0.3, "samples": 256, "positive_share": 0.5}
    assert live["rpn"] == SMALL["rpn"] | defaults
    assert set(live) == {"backbone", "anchors", "rpn", "box_head", "found", "freeze", "pool", "pool_size"}
