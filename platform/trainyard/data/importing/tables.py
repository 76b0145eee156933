"""From rows to Arrow tables.

Columns are made from buffers. pyarrow's own converters (`pa.array`, `to_numpy`) import pandas, which costs each process
0.7 s and 50 MB.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from trainyard.data.importing.checks import Row


def table_of(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    columns = {
        "name": _binary([row.name.encode(errors="replace") for row in rows], pa.string()),
        "image": _binary([row.image for row in rows], pa.binary()),
        "classes": _lists([np.asarray(row.classes, np.int16) for row in rows], pa.int16()),
        "digest": _array(pa.binary(32), len(rows), b"".join(row.digest for row in rows)),
    }
    if "label" in schema.names:
        columns["label"] = _array(pa.int64(), len(rows), np.array([row.label for row in rows], np.int64))
    if "mask" in schema.names:
        columns["mask"] = _binary([row.mask or b"" for row in rows], pa.binary())
    if "boxes" in schema.names:
        boxes = [row.boxes for row in rows if row.boxes is not None]
        columns["boxes"] = _lists([each.corners.astype(np.float32).ravel() for each in boxes], pa.float32())
        columns["box_labels"] = _lists([each.labels.astype(np.int64) for each in boxes], pa.int64())
        columns["box_crowd"] = _lists([each.crowd.astype(np.bool_) for each in boxes], pa.bool_())
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _array(kind: pa.DataType, length: int, data: Any) -> pa.Array:
    return pa.Array.from_buffers(kind, length, [None, pa.py_buffer(data)])


def _binary(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    buffers = [None, _offsets([len(value) for value in values]), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _lists(values: Sequence[np.ndarray], kind: pa.DataType) -> pa.Array:
    data = np.concatenate(values)
    bits = np.packbits(data, bitorder="little") if data.dtype == np.bool_ else data
    buffers = [None, _offsets([len(value) for value in values])]
    return pa.Array.from_buffers(pa.list_(kind), len(values), buffers, children=[_array(kind, len(data), bits)])


def _offsets(lengths: Sequence[int]) -> pa.Buffer:
    return pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
