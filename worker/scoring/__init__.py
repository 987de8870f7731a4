"""The classifier: a model folder, checked whole at start, to calibrated probabilities.

In the order of the data: ``manifest`` reads model.toml, ``examples`` reads examples.npz, ``graph`` holds onnxruntime's
session, ``judgement`` puts the three together and lists every mistake, ``rehearsal`` has that done in a child process,
``folder`` opens what was found right, ``preparation`` makes a picture the graph's input, ``calibration`` makes the
graph's numbers probabilities, ``session`` does both in ``threads``, each run with a deadline. ``check``, ``pack`` and
``opennsfw`` are what the commands of the same names do.
"""
