"""Losses -> weights: the loop, one update step, schedules, checkpoints, loggers."""
