"""Decoded rows, column by column."""

from collections.abc import Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]
"""Column name to array, the rows along the first axis, C-contiguous. What is there beside `image` follows from the
annotation of the data set:

image       uint8 (N, C, H, W)
label       int64 (N,)            class index
mask        uint8 (N, H, W)       class index of each pixel, VOID (255) where there is none; of a job with prompts the
                                  number of its object, see objects.py
boxes       float32 (N, M, 4)     left, top, right, bottom in pixels of the (resized) image; M: the most in an image
box_labels  int64 (N, M)          class index, -1 where there is no box
box_crowd   bool (N, M)           not trained on, and not counted against a detection

The arrays may be read-only views of memory that other processes share.
"""


def row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))
