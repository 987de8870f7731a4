"""Pictures to the graph's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.records import Picture
    from worker.scoring.manifest import Input


def prepare(picture: Picture, taken: Input) -> NDArray[np.float32]:
    """Makes a picture what the graph takes: x = (pixel - mean) * scale.

    Args:
        picture: RGB, uint8, (height, width, 3) of the manifest's size.
        taken: The manifest's input.

    Returns:
        A batch of one, float32: (1, 3, height, width) or (1, height, width, 3).
    """
    return prepare_all([picture], taken)


def prepare_all(pictures: Sequence[Picture], taken: Input) -> NDArray[np.float32]:
    """Makes pictures what the graph takes, in one batch.

    A channel at a time, straight into its place: 0.1 ms for 224x224, where whole arrays with broadcasting take 0.9;
    keeping the buffer for the next picture gains nothing.

    Args:
        pictures: RGB, uint8, (height, width, 3) of the manifest's size.
        taken: The manifest's input.

    Returns:
        The batch in their order, float32: (pictures, 3, height, width) or (pictures, height, width, 3).
    """
    x = np.empty((len(pictures), *taken.shape), np.float32)
    order = (0, 1, 2) if taken.colour == "RGB" else (2, 1, 0)
    for row, picture in zip(x, pictures, strict=True):
        channels = row.transpose(1, 2, 0) if taken.layout == "NCHW" else row
        for channel, source in enumerate(order):
            plane = channels[..., channel]
            np.subtract(picture[..., source], np.float32(taken.mean[channel]), out=plane)
            np.multiply(plane, np.float32(taken.scale[channel]), out=plane)
    return x
