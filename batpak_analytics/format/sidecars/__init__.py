"""The files beside the segments, one module each: ``decode(bytes)`` and ``encode(value)``."""
