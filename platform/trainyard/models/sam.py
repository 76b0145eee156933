"""SAM, the Segment Anything Model (Kirillov et al. 2023), by transformers: its mask decoder is trained, all else stays.

Its image encoder takes nearly all of the time and never changes, so it has an interface of its own: `Sam` is the whole,
`SamDecoder` what comes after the image encoder.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.sam.configuration_sam import SamConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder, SamVisionEncoder

from trainyard.errors import TrialError
from trainyard.models.freezing import PartlyFrozen
from trainyard.models.normalization import Normalization
from trainyard.models.sam_weights import load_weights
from trainyard.spec.models.promptable import TinyEncoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pixels that SAM was trained on, in [0, 1]."""

_PUBLISHED: dict[str, dict[str, Any]] = {
    "sam-vit-base": {},
    "sam-vit-large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "sam-vit-huge": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}
"""Where the image encoders of the published models differ from the base one (paper, section 3; transformers' names)."""

_UNREACHED = (
    "prompt_encoder",
    "mask_decoder.iou_prediction_head",
    *(f"mask_decoder.output_hypernetworks_mlps.{mask}" for mask in (1, 2, 3)),
)
"""What isn't trained of what comes after the image encoder: the prompt encoder, and what a single mask is made without:
the estimate of its IoU, and the three masks that SAM offers for an ambiguous point."""

_INITIAL_STD = 0.02
"""Of the image encoder's random weights. transformers' default for it is 1e-10, which leaves nothing of the image."""

DECODED_AT_A_TIME = 64
"""Objects, without gradients: of sam-vit-base each takes some 20 MB while it is decoded."""


class SamDecoder(PartlyFrozen):
    """SAM after its image encoder: embeddings of images and boxes to the masks of what is in the boxes.

    Its tensors have the names that they have in transformers' SamModel.
    """

    def __init__(self, config: SamConfig, image: tuple[int, int, int], settings: Mapping[str, Any]) -> None:
        """image: (3, height, width) of the images that are embedded. settings: those that made the config."""
        super().__init__()
        self._settings = dict(settings)
        self.image_size = image[1:]
        self.side: int = config.vision_config.image_size
        self.fitted = fitted_size(self.image_size, self.side)
        self.prompt_encoder = SamPromptEncoder(config)
        # Random weights are torch's defaults, as in SAM's own code. transformers would draw them with a standard
        # deviation of 0.02, with which a narrow decoder hardly learns, and positions with frequencies that are hundreds
        # of times as high.
        nn.init.normal_(self.prompt_encoder.shared_embedding.positional_embedding)
        self.mask_decoder = SamMaskDecoder(config.mask_decoder_config)

    def forward(self, embeddings: Tensor, boxes: Tensor) -> Tensor:
        """Logits (N, P, H, W) of what belongs to each object, for images of the size that was stated.

        embeddings: (N, C, h, w). boxes: (N, P, 4), left, top, right, bottom in the images' pixels.
        """
        objects = boxes.shape[0] * boxes.shape[1]
        if torch.is_grad_enabled() or objects <= DECODED_AT_A_TIME:
            return self._masks(embeddings, boxes)
        images = max(1, DECODED_AT_A_TIME // boxes.shape[1])
        parts = zip(embeddings.split(images), boxes.split(images), strict=True)
        return torch.cat([self._masks(*part) for part in parts])

    def _masks(self, embeddings: Tensor, boxes: Tensor) -> Tensor:
        sparse, dense, positions = self._prompts(boxes)
        masks, _ = self.mask_decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=positions.expand(len(embeddings), -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return self._resized(masks[:, :, 0].float())

    @torch.no_grad()
    def _prompts(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of boxes: (N, P, 2, C), of no mask: (N, C, h, w), and of all places of an image: (1, C, h, w).

        In float32 whatever the precision of the forward pass: positions become angles of many turns.
        """
        height, width = self.image_size
        scale = boxes.new_tensor([self.fitted[1] / width, self.fitted[0] / height] * 2)
        with torch.autocast(boxes.device.type, enabled=False):
            sparse, dense = self.prompt_encoder(
                input_points=None, input_labels=None, input_boxes=boxes.float() * scale, input_masks=None
            )
            cells = dense.shape[-1]
            centres = (torch.arange(cells, device=boxes.device) + 0.5) / cells
            down, across = torch.meshgrid(centres, centres, indexing="ij")
            positions = self.prompt_encoder.shared_embedding(torch.stack([across, down], dim=-1))
        return sparse, dense, positions.permute(2, 0, 1)[None]

    def _resized(self, masks: Tensor) -> Tensor:
        """Logits (N, P, h, w) over the encoder's square, read bilinearly at the pixels of the image within it."""
        height, width = self.image_size
        if self.fitted == (self.side, self.side):
            return functional.interpolate(masks, size=(height, width), mode="bilinear")
        down, across = (
            2 * (torch.arange(pixels, device=masks.device) + 0.5) / pixels * shown / self.side - 1
            for pixels, shown in zip((height, width), self.fitted, strict=True)
        )
        y, x = torch.meshgrid(down, across, indexing="ij")
        places = torch.stack([x, y], dim=-1).expand(len(masks), -1, -1, -1)
        return functional.grid_sample(masks, places, mode="bilinear", padding_mode="border", align_corners=False)

    def live_values(self) -> dict[str, object]:
        return dict(self._settings)


class Sam(SamDecoder):
    """The whole of SAM: images and boxes to masks."""

    def __init__(self, config: SamConfig, image: tuple[int, int, int], settings: Mapping[str, Any]) -> None:
        super().__init__(config, image, settings)
        self.normalization = Normalization(MEAN, STD)
        # Last, with weights that it draws by itself: what comes after it begins the same with it and without.
        self.vision_encoder = SamVisionEncoder(config.vision_config)

    def forward(self, images: Tensor, boxes: Tensor) -> Tensor:
        """images: (N, 3, H, W) in [0, 1]. See SamDecoder."""
        return super().forward(self.embeddings(images), boxes)

    @torch.no_grad()
    def embeddings(self, images: Tensor) -> Tensor:
        """(N, C, h, w) of images (N, 3, H, W) in [0, 1].

        Their longer side is scaled to the encoder's, and what they leave of its square is 0 after the normalisation.
        """
        scaled = functional.interpolate(images, size=self.fitted, mode="bilinear", antialias=True)
        height, width = self.fitted
        padded = functional.pad(self.normalization(scaled), (0, self.side - width, 0, self.side - height))
        embeddings: Tensor = self.vision_encoder(padded).last_hidden_state
        return embeddings


def build(
    *,
    image: tuple[int, int, int],
    outputs: int = 1,
    architecture: str,
    weights: str | None = None,
    encoder: Mapping[str, Any] | None = None,
    embeddings: Mapping[str, Any] | None = None,
) -> SamDecoder:
    """SAM after its image encoder where embeddings are shared, and else the whole.

    image: (3, height, width). encoder: the sizes of `tiny`. embeddings: a spec.models.promptable.Embeddings' settings;
    shared if absent. TrialError if the weights don't fit (StorageError if they can't be had).
    """
    settings: dict[str, Any] = {
        "architecture": architecture,
        "weights": weights,
        "encoder": dict(encoder or TinyEncoder().model_dump()) if architecture == "tiny" else None,
        "embeddings": dict(embeddings or {"name": "shared"}),
    }
    if image[0] != 3:
        raise TrialError(f"model sam takes images of 3 channels, got {image[0]}. Set data.channels: 3.")
    if outputs != 1:
        raise TrialError(f"model sam answers with one logit for each pixel of an object, not with {outputs}.")
    config = sam_config(architecture, settings["encoder"])
    kind = SamDecoder if settings["embeddings"]["name"] == "shared" else Sam
    return _built(kind, config, image, settings)


def whole(settings: Mapping[str, Any], image: tuple[int, int, int]) -> Sam:
    """The whole of SAM whatever the settings say of embeddings: what makes them."""
    model = build(image=image, **{**settings, "embeddings": {"name": "each_step"}})
    assert isinstance(model, Sam)
    return model


def _built(
    kind: type[SamDecoder], config: SamConfig, image: tuple[int, int, int], settings: Mapping[str, Any]
) -> SamDecoder:
    model = kind(config, image, settings)
    if settings["weights"] is not None:
        load_weights(model, settings["weights"], architecture=settings["architecture"])
    model.freeze(model, [*_UNREACHED, *(["vision_encoder"] if isinstance(model, Sam) else [])])
    return model


def sam_config(architecture: str, tiny: Mapping[str, int] | None = None) -> SamConfig:
    """Of a published model, or of `tiny` with a TinyEncoder's settings."""
    if tiny is None:
        config = SamConfig(vision_config={**_PUBLISHED[architecture], "initializer_range": _INITIAL_STD})
    else:
        config = _tiny_config(tiny)
    # What SamModel chooses by itself, of which only parts are built here.
    config.mask_decoder_config._attn_implementation = "sdpa"
    return config


def _tiny_config(tiny: Mapping[str, int]) -> SamConfig:
    side, patch, width, depth = (tiny[name] for name in ("side", "patch", "width", "depth"))
    return SamConfig(
        vision_config={
            "image_size": side,
            "patch_size": patch,
            "hidden_size": width,
            "output_channels": width,
            "num_hidden_layers": depth,
            "num_attention_heads": 4,
            "num_pos_feats": width // 2,
            "window_size": max(1, side // patch // 2),
            "global_attn_indexes": [depth - 1],
            "initializer_range": _INITIAL_STD,
        },
        prompt_encoder_config={"image_size": side, "patch_size": patch, "hidden_size": width},
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": 4 * width,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": width,
        },
    )


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) of an image of `size` whose longer side is scaled to `side`, rounded as SAM does."""
    scale = side / max(size)
    height, width = (max(1, math.floor(pixels * scale + 0.5)) for pixels in size)
    return height, width
