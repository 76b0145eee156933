"""The parts of Ray that it promises nobody, and that are used or replaced here: another Ray may have moved them.

Where one is missing, look at what took its place in the module that uses it before the bound in pyproject.toml is
raised: a hook that is called no more fails nothing, and counts deaths or keeps places that it should not.
"""

import importlib
import inspect
import sys

import pytest

CONTROLLER = "ray.train.v2._internal.execution.controller.controller:TrainController"
TRAINER = "ray.train.v2.api.data_parallel_trainer:DataParallelTrainer"
GROUP = "ray.train.v2._internal.execution.worker_group:WorkerGroup"
SCALING = "ray.train.v2._internal.execution.scaling_policy:ScalingPolicy"
TUNE = "ray.tune.execution.tune_controller:TuneController"

HOOKS = {
    TRAINER: ["_create_default_callbacks", "_initialize_and_run_controller"],
    GROUP: ["_create_placement_group", "_get_worker_runtime_env"],
    SCALING: [
        "make_decision_for_non_running_worker_group",
        "make_decision_for_running_worker_group",
        "after_controller_start",
        "before_controller_shutdown",
        "before_controller_abort",
        "_get_num_workers_for_resource_request",
    ],
    TUNE: [
        "_maybe_update_trial_queue",
        "_maybe_add_actors",
        "_maybe_reuse_cached_actor",
        "_maybe_cache_trial_actor",
        "_cleanup_cached_actors",
        "_process_trial_failure",
        "_schedule_trial_actor",
        "_schedule_trial_stop",
        "_set_trial_status",
        "_wrapped",
    ],
}
"""Methods that are overridden or called, by their class."""

ATTRIBUTES = {
    TUNE: [
        "_actor_cache",
        "_actor_manager",
        "_live_trials",
        "_max_pending_trials",
        "_resetting_trials",
        "_scheduler_alg",
        "_search_alg",
        "_staged_trials",
        "_trial_to_actor",
        "_trials",
    ],
    "ray.tune.experiment.trial:Trial": ["run_metadata.num_failures += 1"],
    "ray.tune.schedulers.hyperband:HyperBandScheduler": [
        "_trial_info[trial]",
        "_live_trials[trial]",
        "is_being_processed",
    ],
}

NAMES = [
    "ray.tune.tune:TuneController",
    "ray.tune.tune:air_usage.tag_callbacks",
    "ray.tune.experiment.trial:get_trainable_cls",
    "ray.tune.experiment.trial:validate_trainable",
    *(f"ray.tune.schedulers.hyperband:_Bracket.{name}" for name in ("continue_trial", "cur_iter_done", "finished")),
    "ray._private.worker:print_to_stdstream",
    "ray._private.state:state.get_draining_nodes",
    "ray._private.state:state.get_cluster_config",
    "ray._private.state:available_resources_per_node",
    "ray._private.state:actors",
    "ray._private.log:PlainRayHandler",
    "ray.train.v2._internal.callbacks.datasets:DatasetsCallback",
    "ray.train.v2._internal.callbacks.placement_group_callback:PlacementGroupCleanerCallback",
    "ray.train.v2._internal.constants:get_env_vars_to_propagate",
    "ray.train.v2._internal.execution.worker_group.placement_group_handle:DefaultPlacementGroupHandle",
    f"{CONTROLLER}.worker_group_cls",
]


def part(name: str) -> object:
    module, _, attributes = name.partition(":")
    found: object = importlib.import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


def source(kind: str) -> str:
    """Of the module that defines a class."""
    return inspect.getsource(sys.modules[part(kind).__module__])


@pytest.mark.parametrize("name", [*NAMES, *(f"{kind}.{hook}" for kind, hooks in HOOKS.items() for hook in hooks)])
def test_ray_has_what_is_used(name: str) -> None:
    part(name)


@pytest.mark.parametrize("kind", HOOKS)
def test_ray_calls_the_hooks_itself(kind: str) -> None:
    text = source(kind) + source(CONTROLLER)
    assert [hook for hook in HOOKS[kind] if f".{hook}(" not in text and f'"{hook}"' not in text] == []


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_ray_has_the_attributes_that_are_used(kind: str) -> None:
    text = source(kind)
    assert [name for name in ATTRIBUTES[kind] if f"self.{name}" not in text] == []
