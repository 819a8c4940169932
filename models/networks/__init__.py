"""Architectures, one per file; each registers itself in GENERATORS or DISCRIMINATORS."""

from util.registry import Registry

GENERATORS = Registry("GENERATORS", "generator", "models.networks")
DISCRIMINATORS = Registry("DISCRIMINATORS", "discriminator", "models.networks")
