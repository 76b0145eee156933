"""One search of a space for a job: Optuna proposes, Ray Tune schedules, slots and crews train."""
