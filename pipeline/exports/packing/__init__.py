"""Takes off what an export is packed in under its seal: gzip, bzip2, xz, zstd, ZIP and tar."""
