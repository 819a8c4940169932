"""Faults injected into real trainings, which must end with the weights of an undisturbed one."""
