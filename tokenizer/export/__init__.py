"""A selection for other people's trainers: WebDataset tars, or Parquet that `datasets` reads."""
