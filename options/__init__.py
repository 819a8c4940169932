"""Flags <-> frozen dataclasses: the only place that sees all options at once."""
