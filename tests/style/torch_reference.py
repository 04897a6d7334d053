"""The objective written in PyTorch, whose autograd gives the gradient to compare with."""

import numpy as np

from fastconv.nn.vgg_layers import LAYERS
from fastconv.style.algorithm.options import layer_weights

MEAN = (123.68, 116.779, 103.939)


def torch_features(torch, layers, names, options):
    """VGG-19 down to the last of the layers named, as a function of an image, for PyTorch's autograd."""
    border = {"zeros": "constant", "replicate": "replicate"}[options.padding]

    def features(image):
        dtype, found = image.dtype, {}
        x = image - torch.tensor(MEAN, dtype=dtype)[:, None, None]
        for name, weights in LAYERS:
            if weights is None:
                average = 2 * torch.nn.functional.avg_pool2d(x, 2)
                x = average if options.pooling == "average" else torch.nn.functional.max_pool2d(x, 2)
            else:
                weight, bias = (torch.from_numpy(array).to(dtype) for array in layers[weights])
                x = torch.nn.functional.pad(x, (1, 1, 1, 1), border if name == "relu1_1" else "constant")
                x = torch.relu(torch.nn.functional.conv2d(x, weight, bias))
            found[name] = x
            if set(names) <= set(found):
                return found
        raise AssertionError(names)

    return features


def torch_compare(torch, options):
    """The distance of one layer's features from a style's, as a function of both and a mask."""

    def moments(x, mask):
        flat, weights = x.flatten(2)[0], mask.flatten() / mask.sum()
        return flat @ weights, (flat * weights) @ flat.T

    def compare(x, mask, style):
        mean, gram = moments(x, mask)
        target_mean, target = moments(style, torch.ones_like(style[0, 0]))
        if options.loss == "wasserstein":
            return wasserstein(mean, gram, target_mean, target) / (len(gram) * 57.6**2)
        k = {
            "relative": 1 / target.square().sum(),
            "gatys": 1 / (4 * len(target) ** 2),
            "gram": 1 / len(target) ** 4,
        }[options.loss]
        return k * (gram - target).square().sum()

    def wasserstein(mean, gram, target_mean, target):
        ridge = 1e-4 * 57.6**2 * torch.eye(len(gram), dtype=gram.dtype)
        covariance = gram - torch.outer(mean, mean) + ridge
        target = target - torch.outer(target_mean, target_mean) + ridge
        values, vectors = torch.linalg.eigh(target)
        root = vectors * values.sqrt() @ vectors.T
        roots = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=1e-30).sqrt()
        return (mean - target_mean).square().sum() + covariance.trace() + target.trace() - 2 * roots.sum()

    return compare


def torch_loss(torch, layers, content, styles, options, masks=None):
    """The total loss as a function of an image, written for PyTorch's autograd; masks are (H, W) planes."""
    content_weights, style_weights = layer_weights(options.content_layers), layer_weights(options.style_layers)
    features = torch_features(torch, layers, [*content_weights, *style_weights], options)
    compare = torch_compare(torch, options)
    k_content = {
        "relative": lambda p: 1 / p.square().sum(),
        "gatys": lambda p: 1 / (2 * p.numel()),
        "gram": lambda p: 1 / p.numel(),
        "wasserstein": lambda p: 1 / (57.6**2 * p.numel()),
    }[options.loss]
    with torch.no_grad():
        targets, style_targets = features(content), [features(style) for style in styles]
    if masks is None:
        masks = [torch.ones_like(content[0, 0])] * len(styles)
    shares = np.array(options.style_weights or [1] * len(styles), float)
    shares /= shares.sum()

    def area(mask, x):
        return torch.nn.functional.adaptive_avg_pool2d(mask[None, None], x.shape[2:])[0, 0]

    def total(image):
        found = features(image)
        loss = 0
        for name, weight in content_weights.items():
            loss = (
                loss + options.alpha * weight * k_content(targets[name]) * (found[name] - targets[name]).square().sum()
            )
        for share, target, mask in zip(shares, style_targets, masks, strict=True):
            for name, weight in style_weights.items():
                here = area(mask, found[name])
                if here.any():
                    loss = loss + options.beta * share * weight * compare(found[name], here, target[name])
        straight = image.diff(dim=2).square().sum() + image.diff(dim=3).square().sum()
        falling = (image[..., 1:, 1:] - image[..., :-1, :-1]).square().sum()
        rising = (image[..., 1:, :-1] - image[..., :-1, 1:]).square().sum()
        return loss + options.total_variation * (2 / 3 * straight + 1 / 6 * (falling + rising)) / image.numel()

    return total
