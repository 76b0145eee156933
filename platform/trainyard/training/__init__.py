"""One trial on one worker. Runs wherever torch runs."""
