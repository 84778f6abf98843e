"""Implicit-feedback music recommendation as a reproducible DVC pipeline."""
