"""The engine of Convoscope: models, images and analyses. Knows nothing of Streamlit or of pages.

A folder is a subject, a file is one part of it, an open set is a folder inside its subject. Packages import
only from those before them: compute, data, models, network, evaluation, occlusion, attribution, filters,
ablation, feature_visualization, embedding, serving, runs, training, by_hand, commands.
"""

import os

# Both are read when PyTorch is first imported. Memory in huge pages makes the forward pass of one image
# through a wide network twice as fast on a CPU.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# OpenMP's threads wait for each other at the end of every layer. By default they wait by spinning, which is
# fine as long as nobody else wants the processor; with a browser or any other program on the same two cores a
# spinning thread keeps off the very one it waits for, and a pass of EfficientNet-Lite0 took ten to
# twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
