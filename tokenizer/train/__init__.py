"""Training and fitting tokenizers; `crops`, `pca_init`, `loop` need torch, numpy, safetensors."""
