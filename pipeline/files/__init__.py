"""Files in and out: sealed exports, Parquet, and writing whole or not at all."""
