"""Published weights: the ones that come along, and downloads from a stand-in of the publisher."""

import hashlib
import subprocess
import sys

import pytest
import torch

from core.data.preprocessing import fit
from core.data.samples import sample_image
from core.errors import BadCheckpoint, UnknownName
from core.evaluation.probabilities import probabilities
from core.models import pretrained
from core.models.efficientnet_lite0 import EfficientNetLite0
from core.paths import PROJECT
from tests.publisher import Publisher, published


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with published({}) as address:
        yield address


def test_torchvision_weights_are_fetched_once_and_used(publisher, tmp_path, monkeypatch):
    import io

    import torchvision

    torch.manual_seed(0)
    source = torchvision.models.squeezenet1_1().eval()
    out = io.BytesIO()
    torch.save(source.state_dict(), out)
    digits = hashlib.sha256(out.getvalue()).hexdigest()[:8]
    weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    Publisher.files[f"/squeezenet1_1-{digits}.pth"] = out.getvalue()

    class Stand:
        url = f"{publisher}/squeezenet1_1-{digits}.pth"
        meta, transforms = weights.meta, weights.transforms

    monkeypatch.setattr(pretrained, "_torchvision_weights", lambda name: Stand)
    name = "torchvision/squeezenet1_1"
    assert pretrained.local_weights_file(name) is None
    classifier = pretrained.load_pretrained(name, torch.device("cpu"))
    assert classifier.card.preprocessing.resize == 256
    inputs = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(classifier.logits(inputs), source(inputs), atol=1e-4, rtol=1e-4)
    Publisher.files.clear()
    assert pretrained.load_pretrained(name, torch.device("cpu")).fingerprint == classifier.fingerprint
    file = pretrained.local_weights_file(name)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BadCheckpoint, match="Delete it, and it is fetched again"):
        pretrained.load_pretrained(name, torch.device("cpu"))


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'vgg19'"):
        pretrained.pretrained_card("torchvision/vg19")
    with pytest.raises(UnknownName, match="no pretrained timm classifier"):
        pretrained.pretrained_card("timm/resnet18.never")


@pytest.mark.parametrize("name", pretrained.WELL_KNOWN[1:])
def test_every_card_on_offer_can_be_made_without_a_network(name):
    card = pretrained.pretrained_card(name)
    assert card.number_of_classes == 1000
    assert card.preprocessing.channels == 3


def test_imagenet_names_are_all_different():
    names = [name.lower() for name in pretrained.imagenet_names()]
    assert len(set(names)) == 1000


@pytest.mark.parametrize(("sample", "name"), [("chelsea", "tiger cat"), ("coffee", "espresso")])
def test_the_network_that_comes_along_knows_a_cat_and_a_coffee(sample, name):
    classifier = pretrained.load_pretrained(pretrained.DEFAULT_NETWORK)
    pixels = fit(sample_image(sample).pixels, classifier.card.preprocessing)
    shares = probabilities(classifier.predict_logits(pixels[None]))[0]
    assert classifier.card.class_names[int(shares.argmax())] == name


def test_the_network_that_comes_along_is_timms():
    """Same tensors in the same order, same layers under the same names, same answers."""
    import timm

    torch.manual_seed(0)
    theirs, ours = timm.create_model("tf_efficientnet_lite0").eval(), EfficientNetLite0().eval()
    tensors = theirs.state_dict()
    assert list(tensors) == list(ours.state_dict())
    for name, tensor in tensors.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    ours.load_state_dict(tensors)
    names = {name for name, part in theirs.named_modules() if not isinstance(part, torch.nn.Identity)}
    assert names == {name for name, part in ours.named_modules() if not isinstance(part, torch.nn.Identity)}
    for size in ((224, 224), (97, 130)):
        inputs = torch.randn(1, 3, *size)
        with torch.inference_mode():
            torch.testing.assert_close(ours(inputs), theirs(inputs), atol=1e-6, rtol=1e-6)


def test_the_card_has_the_hash_of_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    file = pretrained.local_weights_file(pretrained.DEFAULT_NETWORK)
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    pretrained._sha256_of.cache_clear()
    pretrained.store.forget_memory()
    assert pretrained.pretrained_card(pretrained.DEFAULT_NETWORK).weights_sha256 == expected
    # It is read once in the life of the file: another process finds what this one has stored.
    pretrained._sha256_of.cache_clear()
    pretrained.store.forget_memory()
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file is read again"))
    assert pretrained.pretrained_card(pretrained.DEFAULT_NETWORK).weights_sha256 == expected


def test_imagenet_names_are_torchvisions():
    from torchvision.models import ResNet18_Weights

    theirs = pretrained.unique_names(ResNet18_Weights.DEFAULT.meta["categories"])
    assert pretrained.imagenet_names() == theirs


def test_names_cards_and_what_answers_are_stored_under_need_no_pytorch():
    """So that a page draws its pickers while PyTorch is being imported."""
    script = (
        "import sys\n"
        "from core.models import catalogue\nfrom core.serving import worker\n"
        "from core.models.pretrained import DEFAULT_NETWORK\n"
        "for n in (DEFAULT_NETWORK, 'digits_cnn'):\n"
        "    assert n in catalogue.names() and catalogue.card_of(n) and catalogue.fingerprint_of(n)\n"
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=PROJECT)
