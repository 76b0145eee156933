"""The Ray cluster that sweeps run on: a running one, or one started on this machine."""
