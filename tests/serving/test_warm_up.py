"""The server gets ready by itself: what the first question would have waited for is there."""

import os
import subprocess
import sys

from core.paths import PROJECT


def test_pytorch_and_the_default_network_are_ready_afterwards(tmp_path):
    script = (
        "import sys, core.serving.warm_up as w\n"
        "assert 'torch' not in sys.modules  # whoever only imports it pays nothing\n"
        "w.warm_up().join()\n"
        "from core.serving import worker\n"
        "from core.models.pretrained import DEFAULT_NETWORK\n"
        "assert DEFAULT_NETWORK in worker._classifiers and worker.computed() == len(w.STEPS)\n"
        "import gc\n"
        "assert gc.get_freeze_count() > 100_000  # what was imported is no more looked at\n"
        "assert not {'torchvision', 'timm'} & set(sys.modules)\n"
        # What the first look at shapes would import in somebody's turn: PyTorch's compiler.
        "before = set(sys.modules)\n"
        "import core.network.feature_maps as maps\n"
        "maps.trace_layers = None  # nor is anything traced again for Attribution's list of layers\n"
        "from core.network.feature_maps import feature_maps\n"
        "feature_maps(worker._classifiers[DEFAULT_NETWORK][1])\n"
        "assert not [m for m in set(sys.modules) - before if m.startswith('torch._dynamo')]\n"
        "from core.occlusion.quickest import is_prepared\n"
        "from core.occlusion.occlusion import default_window\n"
        "classifier = worker._classifiers[DEFAULT_NETWORK][1]\n"
        "assert is_prepared(classifier, default_window((224, 224)))\n"
        "worker.close()\n"
        "print('ready')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=PROJECT,
        env=os.environ | {"CONVOSCOPE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.strip() == "ready", done.stdout[-500:] + done.stderr[-2000:]
