"""Measurements. Each module has `measure() -> list[Figure]`; each figure is a ratio with a floor of the same run."""
