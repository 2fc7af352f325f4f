"""Prices for whole files: the same steps on this machine and on Step Functions."""
