"""A run folder becomes recommendations: raw item ids or raw events in, a table of raw item ids out."""

from transformers4recsys.recommender.recommender import Recommender

__all__ = ["Recommender"]
