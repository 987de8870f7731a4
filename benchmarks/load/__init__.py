"""Latency and throughput on a real broker, from idle to past capacity."""
