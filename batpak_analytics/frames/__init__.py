"""What an analyst holds: DataFrames made from record batches, and from what the reader found wrong."""
