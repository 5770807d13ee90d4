"""The engine of Convoscope: models, images and analyses. Knows nothing of Streamlit or of pages."""

import os

# Read by PyTorch when it is first imported: memory in huge pages makes the forward pass of one image
# through a wide network twice as fast on a CPU.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
