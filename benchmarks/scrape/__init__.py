"""What a scrape of /metrics takes beside live streams."""
