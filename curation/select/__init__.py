"""Select: which clips are kept, by a policy over stored scores, labels and neighbours."""
