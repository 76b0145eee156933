"""Reading pickles from outside: plain containers and arrays of numbers, nothing else.

A pickle is a program that may call whatever Python can import. Here it finds stand-ins only, which collect what an
array is made of, so that not even numpy's own code for unpickling sees what a hostile file says.
"""

import io
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np


def load_pickle(content: bytes, stand_ins: Mapping[tuple[str, str], Any] = MappingProxyType({})) -> Any:
    """Arrays come as `np.asarray` of what stands for them; what Python 2 wrote as text comes as bytes.

    stand_ins: of more than arrays, by module and name. They are called with whatever the pickle says.

    ValueError, with the reason in words, for what is refused, truncated or no pickle.
    """
    try:
        return _Unpickler(content, {**_STAND_INS, **stand_ins}).load()
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # A damaged pickle fails in whatever way its bytes lead to.
        raise ValueError(f"the pickle is truncated or damaged ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, stand_ins: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._stand_ins = stand_ins

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._stand_ins:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which no data needs: it is refused")
        return self._stand_ins[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("the pickle refers to objects outside of it: it is refused")


class _Kind:
    """Stands for numpy's dtype."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        self._code = _text(code)
        self._order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = _text(state[1])

    def numpy(self) -> np.dtype:
        dtype = np.dtype(self._code)
        if dtype.kind not in "biufSU":
            raise pickle.UnpicklingError(f"the pickle holds an array of type {dtype}, only numbers and text are read")
        return dtype.newbyteorder(">") if self._order == ">" else dtype


class _Array:
    """Stands for numpy's array."""

    def __init__(self, *_: Any) -> None:
        self._value = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, in_columns, content = state
        self._value = _array(content, kind, shape, "F" if in_columns else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._value, dtype=dtype, copy=copy)


def _array(content: bytes, kind: _Kind, shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(content, kind.numpy()).reshape(shape, order=order)


def _scalar(kind: _Kind, content: bytes) -> Any:
    return np.frombuffer(content, kind.numpy())[0].item()


def _bytes(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2 to read."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the pickle asks for the encoding {encoding}: it is refused")
    return text.encode("latin1")


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS |= {
        (f"{_core}.multiarray", "_reconstruct"): _Array,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _array,
    }
