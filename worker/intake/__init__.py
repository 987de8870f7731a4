"""The consumer: owns the partitions given to this process, and holds back what is full."""

from worker.intake.intake import Intake

__all__ = ["Intake"]
