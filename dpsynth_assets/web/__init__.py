"""The Dagster web interface with a guard before it: who may ask, from where, and in which form."""
