"""Labels of clips: zero-shot classes and scores from stored vectors, and where they are read."""
