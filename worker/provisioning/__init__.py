"""What a platform's Kafka administrators make for a deployment: its topics and rights, written down in their own tools' words.

``rights`` says who may do what; ``shell``, ``strimzi`` and ``terraform`` write that and the topics down. All of it is pure.
"""
