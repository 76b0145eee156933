"""Where a sweep's files are: on a disk or in a bucket, claimed by one driver at a time."""
