"""Events as Arrow record batches: the schema, the selection of rows, the decoding of frames, the scan over
all three.
"""
