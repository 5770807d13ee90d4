"""One small network of every family of torchvision and timm, with lively random weights and small images."""

from functools import cache

import numpy as np
import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.errors import SettingError
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.classifier import Classifier

# Of each family its smallest member, and more where members differ in how they are built.
TORCHVISION = """
    alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 maxvit_t mnasnet0_5 mobilenet_v2
    mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 shufflenet_v2_x0_5 squeezenet1_1
    swin_t swin_v2_t vgg11_bn
"""
TIMM = """
    bat_resnext26ts botnet26t_256 caformer_s18 cait_xxs24_224 coat_lite_tiny coatnet_pico_rw_224 convit_tiny
    convmixer_768_32 convnext_zepto_rms convnextv2_atto cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_s
    cspdarknet53 cspnext_tiny davit_tiny deit_tiny_distilled_patch16_224 deit_tiny_patch16_224 densenet121
    dla46_c dpn48b eca_halonext26ts ecaresnet26t edgenext_xx_small efficientformer_l1 efficientformerv2_s0
    efficientnet_cc_b0_4e efficientvim_m1 efficientvit_b0 efficientvit_m0 ese_vovnet19b_slim_dw
    eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny gernet_s ghostnet_050
    ghostnetv3_050 gmlp_ti16_224 hardcorenas_a hgnetv2_b0 hiera_tiny_224 hieradet_small
    hrnet_w18_small iformer_t
    inception_next_atto inception_v3 inception_v4 lambda_resnet26t lcnet_035 lcnetv2_small legacy_seresnet18
    legacy_xception levit_128s levit_conv_128s lowformer_b0 mambaout_femto maxxvit_rmlp_nano_rw_256
    mixer_s32_224 mobilenetv3_small_050 mobilenetv4_conv_small mobileone_s0 mobilevit_xxs mobilevitv2_050
    mvitv2_tiny nest_tiny nextvit_small nf_resnet26 nfnet_l0 pit_ti_224 poolformer_s12 pvt_v2_b0 rdnet_tiny
    regnetx_002 regnety_002 repghostnet_050 repvgg_a0 repvit_m0_9 res2net50_14w_8s resmlp_12_224 resnest14d
    resnet10t resnetv2_18 rexnet_100 selecsls42 sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs
    swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256 tf_efficientnet_lite0
    tiny_vit_5m_224 tinynet_e tnt_s_patch16_224 tresnet_m twins_svt_small vgg11_bn visformer_tiny
    vit_relpos_small_patch16_224 vit_tiny_patch16_224 vit_tiny_r_s16_p8_224 vitamin_small_224 volo_d1_224
    xception41 xcit_nano_12_p16_224
"""
NETWORKS = (*(f"torchvision/{n}" for n in TORCHVISION.split()), *(f"timm/{n}" for n in TIMM.split()))
# Families without a member of at most 50 million parameters, and what their smallest has.
LEFT_OUT = {
    "timm/beit": "86 million parameters",
    "timm/deepseek_vit": "412 million parameters",
    "timm/gemma4_vit": "167 million parameters",
    "timm/inception_resnet_v2": "54 million parameters",
    "timm/mobilenetv5": "81 million parameters",
    "timm/naflexvit": "86 million parameters",
    "timm/nasnet": "85 million parameters",
    "timm/pnasnet": "82 million parameters",
    "timm/qwen3_vit": "87 million parameters",
    "timm/vision_transformer_sam": "90 million parameters",
    "torchvision/vision_transformer": "87 million parameters",
}
CLASSES = 10
# Of the side of an image; the first that the network takes counts.
SIDES = (64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 384, 512, 1024)


def family_of(network: str) -> str:
    """The library and the file in it that a network is built by."""
    library, _, name = network.partition("/")
    if library == "timm":
        import timm

        return f"timm/{timm.model_entrypoint(name).__module__.rpartition('.')[2]}"
    import torchvision

    return f"torchvision/{torchvision.models.get_model_builder(name).__module__.rpartition('.')[2]}"


@cache
def families() -> frozenset[str]:
    """Every family that the installed libraries have."""
    import timm
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    return frozenset(
        {f"timm/{module}" for module in timm.list_modules()}
        | {family_of(f"torchvision/{name}") for name in known}
    )


def lively_classifier(network: str) -> Classifier:
    """The network for the smallest image that it takes."""
    for side in SIDES:
        torch.manual_seed(0)
        try:
            module = models["published"](
                channels=3, number_of_classes=CLASSES, input_size=(side, side), network=network
            )
            with torch.inference_mode():
                answer = module.eval()(torch.rand(2, 3, side, side))
        except (SettingError, RuntimeError, ValueError, AssertionError, IndexError):
            continue
        assert answer.shape == (2, CLASSES)
        enliven(module, side)
        preprocessing = Preprocessing((side, side), (0.5,) * 3, (0.25,) * 3)
        names = tuple(f"class {i}" for i in range(CLASSES))
        return Classifier(module, ModelCard(network, "published", names, preprocessing), torch.device("cpu"))
    raise AssertionError(f"{network} takes no square image of {SIDES}")


@torch.no_grad()
def enliven(module: nn.Module, side: int) -> None:
    """Weights with which every branch says something, as after some training.

    What begins at zero or close to it (the last norm of a block, the scale of a layer) would hide faults
    behind it; statistics of batch norm are those of some noise.
    """
    for parameter in module.parameters():
        if parameter.numel() and float(parameter.abs().max()) < 1e-3:
            parameter.uniform_(0.1, 0.5) if parameter.ndim <= 1 else parameter.normal_(0, 0.05)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    if norms:
        module(torch.randn(4, 3, side, side))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def pictures(side: int, n: int) -> np.ndarray:
    """Images with soft and hard parts: (n, side, side, 3) uint8."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (n, 8, 8, 3)).repeat(-(-side // 8), 1).repeat(-(-side // 8), 2)
    coarse = coarse[:, :side, :side]
    return np.clip(coarse + generator.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)
