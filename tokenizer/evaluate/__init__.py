"""How well tokenizers keep a video: metrics, measured on rendered clips, side by side."""
