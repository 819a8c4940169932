"""Methods: batch -> losses. One file per method; each registers itself in MODELS."""

from util.registry import Registry

MODELS = Registry("MODELS", "model", "models")
