"""How a space is searched: sampler, scheduler, budget."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainyard.spec.section import Flaw, Section, refuse

StartupTrials = Annotated[int, Field(ge=1, description="Random trials before the sampler begins to model the results.")]
Grace = Annotated[int, Field(ge=1, description="Epochs that every trial gets before it may be stopped.")]
ReductionFactor = Annotated[int, Field(ge=2, description="One trial of so many goes on at each rung.")]


class Tpe(Section):
    """Tree-structured Parzen estimator (Bergstra et al. 2011)."""

    name: Literal["tpe"]
    startup_trials: StartupTrials = 10


class Random(Section):
    """Independent uniform draws."""

    name: Literal["random"]


class Qmc(Section):
    """A quasi-random (Sobol) sequence: like random, with fewer gaps."""

    name: Literal["qmc"]


class CmaEs(Section):
    """Covariance matrix adaptation (Hansen 2016) of the numbers; categorical choices are random. One objective."""

    name: Literal["cma_es"]
    startup_trials: StartupTrials = 1


class Gp(Section):
    """A Gaussian process with expected improvement."""

    name: Literal["gp"]
    startup_trials: StartupTrials = 10


class Grid(Section):
    """Every combination once, or the first `trials` of them; needs parameters with finitely many values."""

    name: Literal["grid"]


class NoScheduler(Section):
    """Every trial runs to its end."""

    name: Literal["none"]


class Asha(Section):
    """Asynchronous successive halving (Li et al. 2020)."""

    name: Literal["asha"]
    grace: Grace = 1
    reduction_factor: ReductionFactor = 3


class Median(Section):
    """Stops a trial that is worse than the median of the others' running averages (Golovin et al. 2017)."""

    name: Literal["median"]
    grace: Grace = 1


class Hyperband(Section):
    """Successive halving over several brackets (Li et al. 2018)."""

    name: Literal["hyperband"]
    reduction_factor: ReductionFactor = 3


class Pbt(Section):
    """Population-based training (Jaderberg et al. 2017): poor trials go on from good ones with changed settings."""

    name: Literal["pbt"]
    interval: int = Field(1, ge=1, description="Epochs between two exchanges.")
    quantile: float = Field(0.25, gt=0, le=0.5, description="Share of the trials that is replaced, and that is copied.")


def _long_form(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


SamplerName = Literal["tpe", "random", "qmc", "cma_es", "gp", "grid"]
SchedulerName = Literal["none", "asha", "median", "hyperband", "pbt"]
AnySampler = Annotated[Tpe | Random | Qmc | CmaEs | Gp | Grid, Field(discriminator="name")]
AnyScheduler = Annotated[NoScheduler | Asha | Median | Hyperband | Pbt, Field(discriminator="name")]
Sampler = Annotated[AnySampler, BeforeValidator(_long_form, json_schema_input_type=AnySampler | SamplerName)]
Scheduler = Annotated[AnyScheduler, BeforeValidator(_long_form, json_schema_input_type=AnyScheduler | SchedulerName)]


class SearchSettings(Section):
    """How a space is searched."""

    sampler: Sampler = Field(Tpe(name="tpe"), description="What proposes trials: a name or a mapping.")
    scheduler: Scheduler = Field(
        NoScheduler(name="none"), description="What stops poor trials early: a name or a mapping."
    )
    trials: int = Field(
        20, ge=1, description="How many trials to run, at most: a grid ends with its points. State it for larger grids."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the sampler.")
    max_concurrent: int | None = Field(None, ge=1, description="Most trials at a time; as many as fit when absent.")
    keep_checkpoints: int = Field(3, ge=0, description="Of how many best trials the checkpoints are kept.")
    stop_after_failures: int = Field(3, ge=1, description="Stop when the first so many trials all fail alike.")
    start_from: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = Field(
        (), description="Points to try first: mappings from path to value.", examples=[[{"optimizer.lr": 1e-3}]]
    )

    @model_validator(mode="after")
    def _lets_all_live(self) -> "SearchSettings":
        if self.max_concurrent is not None and isinstance(self.scheduler, Hyperband | Pbt):
            rule = f"search.max_concurrent can't be given with the scheduler {self.scheduler.name}"
            message = f"{rule}, which keeps all trials alive at a time. Remove it."
            refuse([Flaw(("max_concurrent",), message, involved=(("scheduler",),))])
        return self
