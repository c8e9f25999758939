"""Python values to payload bytes and back: plain values, and classes registered with a kind and a version."""
