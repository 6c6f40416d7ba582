"""Which docarray is in use, as `jina._docarray` says it."""

docarray_v2 = True
