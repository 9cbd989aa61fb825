"""What a model says of rows: in batches, as files, over HTTP."""
