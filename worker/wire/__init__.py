"""Bytes to records and back: CloudEvents' Kafka binding, JSON bodies, their schemas. Nobody else knows the encoding.

``read`` takes messages apart, ``write`` puts them together, ``schema`` describes them.
"""
