"""Naive sequential training: nothing is done against forgetting, the lower bound."""

from __future__ import annotations

from nanohydra.continual.strategy import Strategy


class Naive(Strategy):
    """Each task is trained on the weights that the one before left."""
