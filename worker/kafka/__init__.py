"""The one place that knows aiokafka: its clients, their settings and its traps."""
