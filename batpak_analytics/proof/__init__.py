"""Is the history whole? Hash chains, every check of a store, and anchors that hold a store against its past."""
