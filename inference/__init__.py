"""Weights -> images: one Predictor behind every command that translates."""
