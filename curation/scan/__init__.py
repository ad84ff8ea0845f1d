"""Scan: one pass over a source gives shots, clips, scores, thumbnails and embeddings."""
