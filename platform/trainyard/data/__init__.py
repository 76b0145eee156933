"""Data sets: source formats, the Parquet data set, decoded columns, the rows of a worker, augmentation."""
