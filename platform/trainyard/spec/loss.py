"""The loss of a job: a mix of terms, each with its weight and settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainyard.spec.section import Flaw, Section, refuse

ClassWeights = Annotated[
    Literal["none", "inverse_frequency"],
    Field(description="Weigh classes by the inverse of their frequency in the training split, with mean 1 over it."),
]


class Term(Section):
    """One term of the mix. Weight 0 switches it off and keeps its settings searchable."""

    weight: float = Field(1.0, ge=0, description="Factor of this term in the sum; 0 switches it off.")


class CrossEntropy(Term):
    """Cross-entropy over the classes."""

    class_weights: ClassWeights = "none"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over all classes.")


class BinaryCrossEntropy(Term):
    """Cross-entropy of two classes from a single logit, whose sigmoid is the probability of the second one."""

    class_weights: ClassWeights = "none"
    positive_weight: float = Field(
        1.0, gt=0, description="Factor of the loss of images of decision.positive, on top of the class weights."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over both classes.")


class Focal(Term):
    """Focal loss (Lin et al. 2017, equation 5): cross-entropy times (1 - p)^gamma, so that easy samples count less.

    Its class weights are the paper's alpha; without them it is equation 4.
    """

    gamma: float = Field(2.0, ge=0, le=10, description="How strongly easy samples are played down; 0 is cross-entropy.")
    class_weights: ClassWeights = "none"


class Answered(Term):
    """A term that the model itself answers with."""


class Loss(Section):
    """A weighted sum of terms. A term that isn't stated is not in the mix."""

    cross_entropy: CrossEntropy | None = None
    binary_cross_entropy: BinaryCrossEntropy | None = None
    focal: Focal | None = None
    heatmap: Answered | None = Field(
        None, description="Focal loss of a heatmap of centres (Zhou et al. 2019, equation 1)."
    )
    size: Answered | None = Field(
        None, description="Distance between the widths and heights of boxes and those answered at their centres (3)."
    )
    offset: Answered | None = Field(
        None, description="Distance between centres and those answered, within their cells (equation 2)."
    )
    classification: Answered | None = Field(None, description="Of the classes of boxes, by the user's own detector.")
    box: Answered | None = Field(None, description="Of the places of boxes, by the user's own detector.")
    objectness: Answered | None = Field(
        None, description="Of whether there is an object at all, by the user's own detector."
    )
    proposal_box: Answered | None = Field(
        None, description="Of the places of the boxes that a first stage proposes, by the user's own detector."
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
        others = [name for name in self.terms() if name != "binary_cross_entropy"]
        if self.binary and others:
            message = (
                f"loss.binary_cross_entropy and loss.{others[0]} don't go together: the first asks the model for a "
                "single logit, the other for one of each class. Remove one; weight 0 isn't enough."
            )
            refuse([Flaw(("binary_cross_entropy",), message, ((others[0],),))])
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
