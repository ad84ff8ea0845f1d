"""Video tokenizers: models, the tokenize stage, training, evaluation, training feed and export."""
