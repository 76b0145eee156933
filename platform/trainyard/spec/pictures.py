"""What is drawn of a trial's answers."""

from pydantic import Field

from trainyard.spec.section import Section

IMAGES = 4
"""Of which pictures are drawn unless a job says otherwise."""


class Pictures(Section):
    """Images of the evaluation split with the truth and what the best epoch answers, the same in every trial."""

    images: int | None = Field(
        None, ge=0, le=64, description="Images that are drawn; when absent 4, but none for classification. 0: none."
    )
