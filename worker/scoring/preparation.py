"""A picture to the graph's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.records import Picture
    from worker.scoring.manifest import Input


def prepare(picture: Picture, taken: Input) -> NDArray[np.float32]:
    """Makes a picture what the graph takes: x = (pixel - mean) * scale.

    A channel at a time, straight into its place: 0.1 ms for 224x224, where whole arrays with broadcasting take 0.9;
    keeping the buffer for the next picture gains nothing.

    Args:
        picture: RGB, uint8, (height, width, 3) of the manifest's size.
        taken: The manifest's input.

    Returns:
        A batch of one, float32: (1, 3, height, width) or (1, height, width, 3).
    """
    x = np.empty((1, *taken.shape), np.float32)
    channels = x[0].transpose(1, 2, 0) if taken.layout == "NCHW" else x[0]
    order = (0, 1, 2) if taken.colour == "RGB" else (2, 1, 0)
    for channel, source in enumerate(order):
        plane = channels[..., channel]
        np.subtract(picture[..., source], np.float32(taken.mean[channel]), out=plane)
        np.multiply(plane, np.float32(taken.scale[channel]), out=plane)
    return x
