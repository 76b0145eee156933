"""What people declare: jobs, spaces and search settings, read from YAML with file and line for every problem."""

from trainyard.spec.check import check
from trainyard.spec.dimension import Dimension
from trainyard.spec.job import Job
from trainyard.spec.load import load, load_job, load_space
from trainyard.spec.schema import json_schema
from trainyard.spec.space import Sample, Space

__all__ = ["Dimension", "Job", "Sample", "Space", "check", "json_schema", "load", "load_job", "load_space"]
