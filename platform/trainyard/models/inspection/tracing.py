"""One pass of a model over an image, written down step by step: what each layer was given, answered with and cost."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from trainyard.models.inspection.receptive_fields.call import Call
from trainyard.models.inspection.receptive_fields.field import UNKNOWN, ReceptiveField
from trainyard.models.inspection.receptive_fields.rules import VIEWS, fields_after, is_pointwise, leaves_statistics_out

WHOLE_LAYERS = (nn.MultiheadAttention,)
"""Layers of torch that are made of others and yet are one step."""

COPIES = frozenset(["clone", "_to_copy", "copy"])

_SPOKEN = {
    "addmm": "linear",
    "mm": "matmul",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "constant_pad_nd": "pad",
    "convolution": "conv",
    "im2col": "unfold",
}


@dataclass(kw_only=True, eq=False)
class Step:
    """A call of a layer, or of a function outside of all layers.

    path: of the module; for a function that of the module that calls it. kind: the layer's class, the function's name
    in small letters. inputs: by the number of the step that made each (0: the image), its size without the batch.
    window: `kernel`, `stride`, `dilation` and so on of the first operation that has them. stored: names of the
    parameters and buffers that are first used here. again: whether the layer was called before. statistics: whether it
    normalises with statistics over positions. nbytes: of what it writes that depends on the image.
    """

    number: int
    path: str
    kind: str
    is_function: bool
    inputs: dict[int, tuple[int, ...]] = field(default_factory=dict)
    output: Tensor | None = None
    reach: ReceptiveField = UNKNOWN
    window: dict[str, Any] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)
    again: bool = False
    statistics: bool = False
    multiply_adds: int = 0
    nbytes: int = 0


class _Known(NamedTuple):
    """What is known of a tensor that depends on the image. step: the number of the one that made it."""

    reach: ReceptiveField
    step: int


_Layout = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""A tensor's memory: its storage, and what of it the tensor shows. Views of the same are the same tensor."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """kept: copies of the outputs of the steps that were asked for, by number. answer: whatever the model returned."""

    steps: tuple[Step, ...]
    kept: Mapping[int, Tensor]
    answer: Any


def trace(model: nn.Module, images: Tensor, *, kept: Collection[int] = ()) -> Trace:
    """Run a model in evaluation mode on images (N, C, H, W), on its device, which may be meta.

    kept: numbers of steps whose outputs are wanted. What the model raises passes through. The model is left as it was.
    """
    recorder = _Recorder(model, images, kept)
    fast = torch.backends.mha.get_fastpath_enabled()
    with _evaluating(model), torch.no_grad(), recorder.watching(model), recorder:
        torch.backends.mha.set_fastpath_enabled(False)  # it is one operation, of which nothing is known
        try:
            answer = model(images)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
    return Trace(steps=tuple(recorder.steps), kept=recorder.kept, answer=answer)


class _Recorder(TorchDispatchMode):
    """Sees each operation of a pass, and knows which layer it belongs to."""

    def __init__(self, model: nn.Module, images: Tensor, kept: Collection[int]) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.kept: dict[int, Tensor] = {}
        self._wanted = frozenset(kept)
        self._paths: list[str] = [""]
        self._layer: tuple[nn.Module, Step] | None = None
        self._called: set[nn.Module] = set()
        self._known: dict[_Layout, _Known] = {}
        self._storages: set[int] = set()
        """Of what depends on the image."""
        self._alive: list[Any] = []
        """Storages that must not be freed: an address could come back as another's."""
        self._stored = _stored_in(model)
        """Names of parameters and buffers by the storage that they are in, or that was made of them alone."""
        self._used: set[str] = set()
        self._remember(images, _Known(ReceptiveField.of_images(images.shape), 0))

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[Self]:
        """Hears of the calls of all modules."""
        with ExitStack() as stack:
            for path, module in model.named_modules():
                before = module.register_forward_pre_hook(self._entering(path), with_kwargs=True)
                stack.callback(before.remove)
                stack.callback(module.register_forward_hook(self._leaving, with_kwargs=True).remove)
            yield self

    def _entering(self, path: str) -> Callable[..., None]:
        def enter(module: nn.Module, arguments: Any, options: Any) -> None:
            if self._layer is not None:
                return
            if not _is_layer(module):
                self._paths.append(path)
                return
            step = self._begin(path, type(module).__name__, is_function=False)
            step.again = module in self._called
            self._called.add(module)
            self._note_inputs(step, tree_leaves((arguments, options)))
            self._note_stored(step, [*module.parameters(), *module.buffers()])
            self._layer = (module, step)

        return enter

    def _leaving(self, module: nn.Module, arguments: Any, options: Any, output: Any) -> None:
        if self._layer is None:
            self._paths.pop()
        elif self._layer[0] is module:
            step, self._layer = self._layer[1], None
            self._finish(step, tree_leaves(output))

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        self._see(operation, args, kwargs or {}, result)
        return result

    def _see(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        inputs = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        outputs = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        name = operation._schema.name.partition("::")[2].removesuffix("_")
        if _makes_anew(name) or not any(self._find(tensor) for tensor in inputs):
            self._pass_on(inputs, outputs)
            return
        arguments = _bound(operation, args, kwargs)
        call = Call(
            name=name, arguments=arguments, outputs=outputs, pointwise=is_pointwise(operation), field=self._reach
        )
        step = self._layer[1] if self._layer else self._step_of(name, inputs)
        made = step.number if step else self._maker(inputs)
        written = {_layout(tensor) for tensor in _written(operation, arguments)}
        reaches = fields_after(call)
        if step is not None:
            self._count(step, call, operation, args, kwargs, result)
        for place, (tensor, reach) in enumerate(zip(outputs, reaches, strict=True)):
            if _layout(tensor) in written:
                self._overwrite(tensor)
            elif step is not None and place == 0 and _address(tensor) not in self._storages:
                step.nbytes += tensor.numel() * tensor.element_size()
            self._remember(tensor, _Known(reach, made))
        if step is not None and self._layer is None:
            self._finish(step, outputs)

    def _step_of(self, name: str, inputs: Sequence[Tensor]) -> Step | None:
        """A step of its own for a function outside of all layers; none for views. A copy is part of what it copies."""
        if name in VIEWS:
            return None
        if name in COPIES:
            return self.steps[-1] if self.steps else None
        step = self._begin(self._paths[-1], _SPOKEN.get(name, _readable(name)), is_function=True)
        self._note_inputs(step, inputs)
        self._note_stored(step, inputs)
        return step

    def _begin(self, path: str, kind: str, *, is_function: bool) -> Step:
        step = Step(number=len(self.steps) + 1, path=path, kind=kind, is_function=is_function)
        self.steps.append(step)
        return step

    def _note_inputs(self, step: Step, values: Sequence[Any]) -> None:
        for value in values:
            known = self._find(value) if isinstance(value, Tensor) else None
            if known is not None:
                step.inputs.setdefault(known.step, tuple(value.shape[1:]))

    def _note_stored(self, step: Step, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            step.stored += [name for name in self._stored.get(_address(tensor), ()) if name not in self._used]
            self._used.update(step.stored)

    def _count(
        self, step: Step, call: Call, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        formula = flop_registry.get(operation._overloadpacket)
        if formula is not None:
            step.multiply_adds += formula(*args, **kwargs, out_val=result) // 2
        step.window = step.window or _window(call)
        step.statistics |= leaves_statistics_out(call)

    def _finish(self, step: Step, values: Sequence[Any]) -> None:
        """Note the output of a step: the first tensor that depends on the image."""
        for value in values:
            known = self._find(value) if isinstance(value, Tensor) else None
            if known is None:
                continue
            self._remember(value, _Known(known.reach, step.number))
            if step.output is None:
                step.output, step.reach = value, known.reach
                if step.number in self._wanted:
                    self.kept[step.number] = value.clone()

    # What is known of tensors.

    def _find(self, tensor: Tensor) -> _Known | None:
        """None for one that doesn't depend on the image."""
        known = self._known.get(_layout(tensor))
        if known is None and _address(tensor) in self._storages:
            return _Known(UNKNOWN, 0)
        return known

    def _reach(self, tensor: Tensor) -> ReceptiveField | None:
        known = self._find(tensor)
        return known.reach if known else None

    def _maker(self, inputs: Sequence[Tensor]) -> int:
        return next((known.step for tensor in inputs if (known := self._find(tensor)) is not None), 0)

    def _remember(self, tensor: Tensor, known: _Known) -> None:
        if tensor.numel():
            self._storages.add(_address(tensor))
            self._alive.append(tensor.untyped_storage())
            self._known[_layout(tensor)] = known

    def _overwrite(self, tensor: Tensor) -> None:
        """Forget what was known of other views of a tensor that was written to."""
        address, own = _address(tensor), _layout(tensor)
        for layout in [layout for layout in self._known if layout[0] == address and layout != own]:
            del self._known[layout]

    def _pass_on(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """What is made of parameters alone stands for them."""
        names = [name for tensor in inputs for name in self._stored.get(_address(tensor), ())]
        for tensor in outputs:
            if names and _address(tensor) not in self._stored:
                self._stored[_address(tensor)] = names
                self._alive.append(tensor.untyped_storage())


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, WHOLE_LAYERS) or next(module.children(), None) is None


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _bound(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of an operation by name."""
    bound = {}
    for place, argument in enumerate(operation._schema.arguments):
        if place < len(args):
            bound[argument.name] = args[place]
        else:
            bound[argument.name] = kwargs.get(argument.name, argument.default_value)
    return bound


def _written(operation: Any, arguments: Mapping[str, Any]) -> Iterator[Tensor]:
    """The arguments that an operation writes to."""
    for argument in operation._schema.arguments:
        value = arguments[argument.name]
        if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, Tensor):
            yield value


def _window(call: Call) -> dict[str, Any]:
    """Sizes along each side of an operation that slides a window."""
    if call.name == "convolution":
        weight = call["weight"]
        own = {name: call[name] for name in ("stride", "dilation", "groups", "transposed")}
        return {"kernel": list(weight.shape[2:]), **own}
    if "kernel_size" in call.arguments:
        kernel = list(call["kernel_size"])
        dilation = call.arguments.get("dilation", 1)
        return {"kernel": kernel, "stride": call["stride"] or kernel, "dilation": dilation}
    return {}


def _stored_in(model: nn.Module) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        names.setdefault(_address(tensor), []).append(name)
    return names


def _makes_anew(name: str) -> bool:
    """Whether it takes the size of a tensor and nothing of what is in it: zeros_like, new_empty."""
    return name.endswith("_like") or name.startswith("new_")


def _readable(name: str) -> str:
    return name.removeprefix("_").removeprefix("native_").removesuffix("_with_indices")


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _layout(tensor: Tensor) -> _Layout:
    # The stride of a dimension of one element says nothing, and torch changes it for another memory format.
    strides = tuple(stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return _address(tensor), int(tensor.storage_offset()), tuple(tensor.shape), strides
