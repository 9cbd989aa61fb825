"""New rows against those behind the model in use."""
