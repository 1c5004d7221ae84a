"""Synthetic tables for analysts: immutable Parquet per release, and one DuckDB warehouse over them."""
