"""What a platform's Kafka administrators make for a deployment, in their own tools' words: its topics and rights.

``rights`` says who may do what; ``shell``, ``strimzi`` and ``terraform`` write that and the topics down. All is pure.
"""
