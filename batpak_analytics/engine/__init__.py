"""Files, order and durability of a store. Knows nothing of Arrow tables or DataFrames."""
