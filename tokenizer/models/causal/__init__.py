"""The learned tokenizer: a small causal network with a discrete and a continuous head."""
