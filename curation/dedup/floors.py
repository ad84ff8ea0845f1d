"""From which similarity on pairs are stored: what a policy's thresholds may be."""

COPIES_FLOOR = 0.6
"""Copies that agree less well than this are not stored."""
SEMANTIC_FLOOR = 0.8
"""Clips whose embeddings are less similar than this are not stored as pairs."""
