"""Equations only: numpy, scipy and numba; no files, no plotting, no language."""
