"""What was done or seen, as a report that can be compared: canonical bytes and their BLAKE3."""
