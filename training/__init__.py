"""Everything a data scientist does before a request: train, evaluate, publish, roll back."""
