"""SAM: what is trained of it, and that embeddings and images lead to the same masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import SamModel

from trainyard.errors import StorageError, TrialError
from trainyard.models import hub
from trainyard.models.build import build_model
from trainyard.models.sam import Sam, SamDecoder, build, fitted_size, sam_config, whole
from trainyard.spec.model import MODELS

SIZES = {"side": 32, "patch": 8, "width": 16, "depth": 2}
TINY: dict[str, Any] = {"architecture": "tiny", "encoder": SIZES}
IMAGE = (3, 20, 30)
BOXES = torch.tensor([[[2.0, 3, 20, 18], [0, 0, 30, 20]], [[5, 5, 9, 9], [10, 2, 28, 17]]])


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images() -> Tensor:
    return torch.rand(2, *IMAGE)


def reference(model: Sam) -> SamModel:
    """transformers' own, with the same weights."""
    theirs = SamModel(sam_config("tiny", SIZES)).eval()
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("normalization")}
    state["shared_image_embedding.positional_embedding"] = state["prompt_encoder.shared_embedding.positional_embedding"]
    theirs.load_state_dict(state)
    return theirs


def test_masks_are_those_of_transformers() -> None:
    """On square images that need not be scaled, where theirs need no processing after the model either."""
    model = whole(TINY, (3, 32, 32)).eval()
    pixels, boxes = torch.rand(2, 3, 32, 32), BOXES.clamp(max=31)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    theirs = reference(model)(pixel_values=(pixels - mean) / std, input_boxes=boxes, multimask_output=False)
    expected = torch.nn.functional.interpolate(theirs.pred_masks[:, :, 0], size=(32, 32), mode="bilinear")
    unit = expected.std()
    assert unit > 0
    torch.testing.assert_close(model(pixels, boxes) / unit, expected / unit, rtol=1e-3, atol=1e-3)


def test_images_are_scaled_by_their_longer_side_and_padded() -> None:
    assert fitted_size((20, 30), 32) == (21, 32)
    assert fitted_size((256, 256), 1024) == (1024, 1024)
    assert fitted_size((1200, 1800), 1024) == (683, 1024)  # as SAM's own: int(x + 0.5)
    model = whole(TINY, IMAGE).eval()
    seen: list[Tensor] = []
    model.vision_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.embeddings(images())
    assert seen[0].shape == (2, 3, 32, 32)
    assert (seen[0][:, :, 21:] == 0).all()
    assert (seen[0][:, :, :21] != 0).all()


def test_a_mask_is_read_where_the_image_is_in_the_encoders_square() -> None:
    """A low-resolution answer that rises evenly over the square rises evenly over the image, as far as that reaches."""
    model = build(image=(3, 16, 32), **TINY)
    ramp = torch.linspace(-1, 1, 17)[:-1] + 1 / 16
    low = ramp[:, None].expand(16, 16)[None, None]
    found = model._resized(low)[0, 0]
    assert found.shape == (16, 32)
    expected = (torch.arange(16) + 0.5) / 32 * 2 - 1
    torch.testing.assert_close(found[1:, 0], expected[1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[:, 0], found[:, 31])


def test_the_decoder_by_itself_answers_as_the_whole() -> None:
    sam, decoder = whole(TINY, IMAGE), build(image=IMAGE, **TINY)
    decoder.load_state_dict({name: sam.state_dict()[name] for name in decoder.state_dict()})
    pixels = images()
    torch.testing.assert_close(decoder(sam.embeddings(pixels), BOXES), sam(pixels, BOXES))
    assert type(decoder) is SamDecoder
    assert not any(name.startswith("vision_encoder") for name in decoder.state_dict())


def test_the_decoder_begins_the_same_with_the_image_encoder_and_without() -> None:
    torch.manual_seed(1)
    decoder = build(image=IMAGE, **TINY).state_dict()
    torch.manual_seed(1)
    sam = whole(TINY, IMAGE).state_dict()
    assert all(torch.equal(sam[name], tensor) for name, tensor in decoder.items())


def test_only_the_mask_decoder_has_gradients_and_all_that_is_trained_has_one() -> None:
    model = whole(TINY, IMAGE).train()
    model(images(), BOXES).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    trained = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"mask_decoder"}
    frozen = {name for name, parameter in model.mask_decoder.named_parameters() if not parameter.requires_grad}
    assert {name.rpartition(".")[0].split(".")[0] for name in frozen} == {
        "iou_prediction_head",
        "output_hypernetworks_mlps",
    }
    assert not any(name.startswith("output_hypernetworks_mlps.0") for name in frozen)
    assert not model.vision_encoder.training
    assert not model.prompt_encoder.training
    assert model.mask_decoder.transformer.training


def test_what_is_decoded_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(image=IMAGE, **TINY).eval()
    embeddings = torch.randn(2, 16, 4, 4)
    together = model(embeddings, BOXES)
    monkeypatch.setattr("trainyard.models.sam.DECODED_AT_A_TIME", 2)
    with torch.no_grad():
        torch.testing.assert_close(model(embeddings, BOXES), together)


def test_prompts_are_embedded_in_full_precision() -> None:
    model = build(image=IMAGE, **TINY).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sparse, _, positions = model._prompts(BOXES)
    expected, _, places = model._prompts(BOXES)
    assert torch.equal(sparse, expected)
    assert torch.equal(positions, places)


@pytest.mark.parametrize("kind", ["a file", "a folder", "a state_dict"])
def test_weights_are_read_from_a_file_or_a_folder(kind: str, tmp_path: Path) -> None:
    source = whole(TINY, IMAGE)
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    shared = state.pop("prompt_encoder.shared_embedding.positional_embedding")
    state["shared_image_embedding.positional_embedding"] = shared  # as published files have it
    if kind == "a state_dict":
        weights = tmp_path / "sam.pt"
        torch.save(state, weights)
    else:
        weights = tmp_path / "model.safetensors"
        save_file(state, weights)
    given = tmp_path if kind == "a folder" else weights
    torch.manual_seed(7)
    loaded = whole({**TINY, "weights": str(given)}, IMAGE).state_dict()
    decoder = build(image=IMAGE, **TINY, weights=str(given)).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in source.state_dict().items())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in decoder.items())


def test_weights_that_do_not_fit_name_what_is_wrong(tmp_path: Path) -> None:
    state = whole(TINY, IMAGE).state_dict()
    other = {**TINY, "encoder": {**SIZES, "width": 32}}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(TrialError, match=r"don't fit tiny: prompt_encoder\.\S+ is \S+ and must be \S+"):
        build(image=IMAGE, **other, weights=str(tmp_path / "a.safetensors"))
    del state["mask_decoder.iou_token.weight"]
    save_file(state, tmp_path / "b.safetensors")
    with pytest.raises(TrialError, match=r"mask_decoder\.iou_token\.weight is missing"):
        build(image=IMAGE, **TINY, weights=str(tmp_path / "b.safetensors"))


def test_a_folder_without_weights_and_a_hub_that_does_not_answer_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match=r"the folder has no model\.safetensors"):
        hub.located(str(tmp_path))

    def unreachable(*arguments: Any, **settings: Any) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(StorageError, match=r"facebook/sam-vit-base can't be had .*: no route to host.*name the file"):
        hub.located("facebook/sam-vit-base")


def test_a_repository_that_has_no_weights_is_the_trials_own_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def refusing(*arguments: Any, local_files_only: bool = False, **settings: Any) -> str:
        raise (LocalEntryNotFoundError if local_files_only else EntryNotFoundError)("there is no such file")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refusing)
    with pytest.raises(
        TrialError, match=r"facebook/sam can't be had .*: there is no such file\. Is that the repository"
    ):
        hub.located("facebook/sam")


def test_the_hub_is_asked_only_for_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[str] = []

    def download(repository: str, file: str, *, local_files_only: bool = False) -> str:
        kept = tmp_path / file
        if local_files_only and not kept.exists():
            raise LocalEntryNotFoundError("not there")
        if not local_files_only:
            asked.append(repository)
            kept.write_bytes(b"weights")
        return str(kept)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    found = [hub.located("facebook/sam-vit-base") for _ in range(3)]
    assert asked == ["facebook/sam-vit-base"]
    assert set(found) == {tmp_path / "model.safetensors"}


def test_it_is_built_by_its_settings_and_tells_them() -> None:
    settings = MODELS["sam"].model_validate({"name": "sam", **TINY, "embeddings": "each_step"})
    model = build_model(settings, IMAGE, 1)
    assert isinstance(model, Sam)
    assert model.live_values() == {**settings.settings, "weights": None}
    with pytest.raises(TrialError, match=r"model sam takes images of 3 channels, got 1"):
        build_model(settings, (1, 20, 30), 1)


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [("sam-vit-base", 93_735_472), ("sam-vit-large", 312_342_832), ("sam-vit-huge", 641_090_608)],
)
def test_the_published_models_have_their_parameters(architecture: str, parameters: int) -> None:
    """As Segment Anything's own code counts them, where the frequencies of positions are no parameters."""
    with torch.device("meta"):
        model = Sam(sam_config(architecture), (3, 64, 64), {})
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted - model.prompt_encoder.shared_embedding.positional_embedding.numel() == parameters
    assert sum(parameter.numel() for parameter in model.mask_decoder.parameters()) == 4_058_340
