"""Flags <-> frozen dataclasses; with ``commands`` the only place that sees all options at once."""
