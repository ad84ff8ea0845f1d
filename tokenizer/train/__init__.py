"""Training the learned tokenizer. `crops`, `start` and `loop` need torch, numpy and safetensors."""
