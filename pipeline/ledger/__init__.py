"""What happened to every row: the pipeline's only memory."""
