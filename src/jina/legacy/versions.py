"""Which docarray and pydantic are in use, as `jina._docarray` says it."""

docarray_v2 = True
is_pydantic_v2 = True
