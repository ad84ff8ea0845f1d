"""Labels of clips from their stored vectors: groups of prompts, safety, and an aesthetic score."""
