"""Beside the way people do this today: their readers, their hash, and their pipelines on the same broker."""
