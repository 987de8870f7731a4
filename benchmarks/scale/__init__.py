"""What a segment costs as cores, workers, streams, sizes and lists grow."""
