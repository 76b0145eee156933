"""The loss of a job: a mix of terms, each with its weight and settings."""

from pydantic import Field, model_validator

from trainyard.spec.class_weights import ClassWeights, Unweighted
from trainyard.spec.section import Flaw, Section, refuse


class Term(Section):
    """One term of the mix. Weight 0 switches it off and keeps its settings searchable."""

    weight: float = Field(1.0, ge=0, description="Factor of this term in the sum; 0 switches it off.")


class Boundary(Section):
    """Pixels near the boundaries of classes count more, as in U-Net's loss (Ronneberger, Fischer, Brox 2015)."""

    weight: float = Field(
        ge=0, le=1000, description="They count 1 + weight times as much as others; 0 switches it off.", examples=[2.0]
    )
    width: int = Field(2, ge=1, le=64, description="Up to how many pixels away, in rows and columns, another class is.")


class Pointwise(Term):
    """A term that is computed for each image, or for each pixel by itself."""

    class_weights: ClassWeights = Field(Unweighted(name="none"), description="How much samples of each class count.")
    boundary: Boundary | None = Field(None, description="Of masks: more weight near the boundaries of classes.")


class CrossEntropy(Pointwise):
    """Cross-entropy over the classes."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over all classes.")


class BinaryCrossEntropy(Pointwise):
    """Cross-entropy of two classes from a single logit, whose sigmoid is the probability of the second one."""

    positive_weight: float = Field(
        1.0,
        gt=0,
        description="Factor of the loss of what is positive, on top of the class weights: images of decision.positive, "
        "or pixels of the second class.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over both classes.")


class Focal(Pointwise):
    """Focal loss (Lin et al. 2017, equation 5): cross-entropy times (1 - p)^gamma, so that easy samples count less.

    Its class weights are the paper's alpha; without them it is equation 4.
    """

    gamma: float = Field(2.0, ge=0, le=10, description="How strongly easy samples are played down; 0 is cross-entropy.")


class Region(Term):
    """A term that compares, in each image, the answered part of each class with the true one."""

    include_background: bool = Field(True, description="Whether the first class is compared, too.")


class Dice(Region):
    """1 - Dice coefficient, twice the intersection over the sum (Milletari, Navab, Ahmadi 2016, without squares)."""


class Jaccard(Region):
    """1 - intersection over union (Rahman, Wang 2016)."""


class Tversky(Region):
    """1 - Tversky index (Salehi, Erdogmus, Gholipour 2017), and the focal one (Abraham, Khan 2019) with another gamma.

    With alpha and beta 0.5 it is Dice, with both 1 it is Jaccard. The defaults are those that did best in the paper.
    """

    alpha: float = Field(0.3, ge=0.01, le=1, description="How much false alarms count.")
    beta: float = Field(0.7, ge=0.01, le=1, description="How much misses count.")
    gamma: float = Field(
        1.0,
        ge=0.25,
        le=5,
        description="Exponent of a class's loss: above 1 what overlaps well counts less. The paper's is 1 / gamma.",
    )


class Lovasz(Region):
    """Lovász-Softmax (Berman, Triki, Blaschko 2018): the extension of 1 - intersection over union to probabilities."""


class Answered(Term):
    """A term that the model itself answers with."""


class Loss(Section):
    """A weighted sum of terms. A term that isn't stated is not in the mix."""

    cross_entropy: CrossEntropy | None = None
    binary_cross_entropy: BinaryCrossEntropy | None = None
    focal: Focal | None = None
    dice: Dice | None = None
    jaccard: Jaccard | None = None
    tversky: Tversky | None = None
    lovasz: Lovasz | None = None
    heatmap: Answered | None = Field(
        None, description="Focal loss of a heatmap of centres (Zhou et al. 2019, equation 1)."
    )
    size: Answered | None = Field(
        None, description="Distance between the widths and heights of boxes and those answered at their centres (3)."
    )
    offset: Answered | None = Field(
        None, description="Distance between centres and those answered, within their cells (equation 2)."
    )
    classification: Answered | None = Field(None, description="Of the classes of boxes, by the detector.")
    box: Answered | None = Field(None, description="Of the places of boxes, by the detector.")
    objectness: Answered | None = Field(None, description="Of whether there is an object at all, by the detector.")
    proposal_box: Answered | None = Field(
        None, description="Of the places of the boxes that a first stage proposes, by the detector."
    )
    centerness: Answered | None = Field(
        None, description="Of how near to a box's centre a position is, by the detector (Tian et al. 2019, equation 3)."
    )

    def terms(self) -> dict[str, Term]:
        """The terms in the mix by name, those with weight 0 among them."""
        stated = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: term for name, term in stated.items() if term is not None}

    @property
    def binary(self) -> bool:
        """Whether the model answers with a single logit for two classes, not with one for each class."""
        return self.binary_cross_entropy is not None

    @model_validator(mode="after")
    def _has_one_head(self) -> "Loss":
        if self.binary and self.cross_entropy:
            message = (
                "loss.binary_cross_entropy and loss.cross_entropy don't go together: they are the same, the first of a "
                "model that answers with a single logit, the other of one that has a logit for each class. Remove one; "
                "weight 0 isn't enough."
            )
            refuse([Flaw(("binary_cross_entropy",), message, (("cross_entropy",),))])
        return self

    @model_validator(mode="after")
    def _has_weight(self) -> "Loss":
        terms = self.terms()
        if not terms:
            refuse([Flaw((), "loss has no term. Add one, such as cross_entropy: {weight: 1.0}.")])
        if not any(term.weight for term in terms.values()):
            weights = ", ".join(f"{name}.weight={term.weight:g}" for name, term in terms.items())
            refuse([Flaw((), f"the weights of loss must not all be 0, got {weights}.")])
        return self
