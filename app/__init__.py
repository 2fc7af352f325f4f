"""The price estimator: everything that answers a request. Imports here do no I/O and read no environment."""
