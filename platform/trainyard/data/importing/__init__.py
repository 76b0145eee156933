"""From a source to a data set: planned, checked and written by many processes. Read `run.py` first."""
