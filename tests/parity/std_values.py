#!/usr/bin/env python3
"""Expected values of the standard library, from numpy, torch and optax: writes ../data/std_values.txt.

A line is: name | what is made (a module, or -) | expression | shapes of x y z | training |
values. Parameters and inputs hold pattern(k, i) = ((7 i + 3 k) mod 11 - 5) / 4, element i of tensor k;
parameters are numbered from 0 in order of declaration, inputs x, y, z are tensors 20, 21, 22.
"""
import math
import os

import jax
import numpy as np
import optax
import torch
import torch.nn.functional as F

jax.config.update("jax_enable_x64", True)
lines = []


def pattern(k, *shape):
    n = int(np.prod(shape))
    return np.array([((7 * i + 3 * k) % 11 - 5) / 4 for i in range(n)]).reshape(shape)


def row(name, made, expr, shapes, training, *values):
    flat = np.concatenate([np.asarray(v, dtype=float).reshape(-1) for v in values])
    shapes = "; ".join(",".join(map(str, s)) for s in shapes)
    lines.append(f"{name} | {made} | {expr} | {shapes} | {int(training)} | "
                 + " ".join(repr(float(v)) for v in flat))


erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def lse(x):
    m = x.max(-1)
    return m + np.log(np.exp(x - m[..., None]).sum(-1))


def activations():
    x = pattern(20, 3, 4) * 3
    for name, y in {
        "relu": np.maximum(x, 0), "relu6": np.clip(x, 0, 6), "sigmoid": sigmoid(x),
        "leaky_relu": np.where(x > 0, x, 0.01 * x), "elu": np.where(x > 0, x, np.expm1(x)),
        "silu": x * sigmoid(x), "gelu": x * (1 + erf(x / math.sqrt(2))) / 2,
        "gelu_tanh": 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
        "softplus": np.log1p(np.exp(x)), "hardswish": x * np.clip(x + 3, 0, 6) / 6,
        "tanh": np.tanh(x), "softmax": softmax(x), "log_softmax": np.log(softmax(x)),
    }.items():
        row(name, "-", f"{name}(x * 3)", [(3, 4)], False, y)
    row("softmax_far", "-", "softmax(x * 4000)", [(2, 3)], False, softmax(pattern(20, 2, 3) * 4000))
    row("dropout_eval", "-", "dropout(x, 0.5)", [(2, 3)], False, pattern(20, 2, 3))
    row("dropout_never", "-", "dropout(x, 0.0)", [(2, 3)], True, pattern(20, 2, 3))
    row("normalize", "-", "normalize(x, imagenet_mean, imagenet_std)", [(1, 3, 2, 2)], False,
        (pattern(20, 1, 3, 2, 2) - np.array([0.485, 0.456, 0.406])[:, None, None])
        / np.array([0.229, 0.224, 0.225])[:, None, None])


def conv(x, w, b, stride, before, after, dilation, groups):
    n, c, h, wide = x.shape
    o, per, k, _ = w.shape
    p = np.zeros((n, c, h + before + after, wide + before + after))
    p[:, :, before:before + h, before:before + wide] = x
    high = (p.shape[2] - dilation * (k - 1) - 1) // stride + 1
    width = (p.shape[3] - dilation * (k - 1) - 1) // stride + 1
    y = np.zeros((n, o, high, width))
    for oc in range(o):
        first = oc // (o // groups) * per
        for r in range(high):
            for s in range(width):
                part = p[:, first:first + per, r * stride:r * stride + dilation * k:dilation,
                         s * stride:s * stride + dilation * k:dilation][:, :, :k, :k]
                y[:, oc, r, s] = (part * w[oc]).sum((1, 2, 3)) + (b[oc] if b is not None else 0)
    return y


def convolutions():
    for name, i, o, k, stride, pad, after, dilation, groups, biased, hw in [
        ("plain", 2, 3, 3, 1, 0, None, 1, 1, True, (5, 6)),
        ("padded", 2, 3, 3, 1, 1, None, 1, 1, True, (4, 4)),
        ("strided", 2, 2, 3, 2, 1, None, 1, 1, False, (7, 6)),
        ("dilated", 1, 2, 3, 1, 2, None, 2, 1, True, (6, 5)),
        ("grouped", 4, 6, 3, 1, 1, None, 1, 2, True, (3, 3)),
        ("depthwise", 3, 3, 3, 2, 0, 1, 1, 3, False, (6, 6)),
        ("pointwise", 3, 2, 1, 1, 0, None, 1, 1, True, (2, 2)),
    ]:
        made = f"Conv2d({i}, {o}, {k}, stride = {stride}, pad = {pad}, dilation = {dilation}, " \
               f"groups = {groups}, biased = {'true' if biased else 'false'}" \
               + (f", pad_after = {after})" if after is not None else ")")
        x, w = pattern(20, 2, i, *hw), pattern(0, o, i // groups, k, k)
        b = pattern(1, o) if biased else None
        row("conv_" + name, made, "m(x)", [(2, i, *hw)], False,
            conv(x, w, b, stride, pad, pad if after is None else after, dilation, groups))


def pool(x, k, stride, pad, fill, reduce):
    n, c, h, w = x.shape
    p = np.full((n, c, h + 2 * pad, w + 2 * pad), fill)
    p[:, :, pad:pad + h, pad:pad + w] = x
    high, wide = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
    y = np.zeros((n, c, high, wide))
    for r in range(high):
        for s in range(wide):
            y[:, :, r, s] = reduce(p[:, :, r * stride:r * stride + k, s * stride:s * stride + k],
                                   axis=(2, 3))
    return y


def pooling():
    x = pattern(20, 2, 2, 5, 6)
    row("max_pool", "-", "max_pool(x, 3, 2, pad = 1)", [x.shape], False, pool(x, 3, 2, 1, -np.inf, np.max))
    row("avg_pool", "-", "avg_pool(x, 3, 2, pad = 1)", [x.shape], False, pool(x, 3, 2, 1, 0.0, np.mean))
    row("avg_pool_plain", "-", "avg_pool(x, 2, 2)", [x.shape], False, pool(x, 2, 2, 0, 0.0, np.mean))
    row("mean_pool", "-", "mean_pool(x)", [x.shape], False, x.mean((2, 3)))
    row("peak_pool", "-", "peak_pool(x)", [x.shape], False, x.max((2, 3)))
    row("flatten", "-", "flatten(x)", [x.shape], False, x)


def maps_and_norms():
    x = pattern(20, 2, 3, 4)
    row("linear", "Linear(4, 3)", "m(x)", [x.shape], False, x @ pattern(0, 3, 4).T + pattern(1, 3))
    row("linear_unbiased", "Linear(4, 3, biased = false)", "m(x)", [x.shape], False,
        x @ pattern(0, 3, 4).T)
    row("embedding", "Embedding(5, 3)", "m([[0, 4], [2, 2]])", [], False,
        pattern(0, 5, 3)[[[0, 4], [2, 2]]])
    u, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    row("layer_norm", "LayerNorm(4)", "m(x)", [x.shape], True,
        (x - u) / np.sqrt(v + 1e-5) * pattern(0, 4) + pattern(1, 4))
    row("rms_norm", "RMSNorm(4)", "m(x)", [x.shape], True,
        x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-6) * pattern(0, 4))
    x = pattern(20, 2, 4, 3, 2)
    w, b = pattern(0, 4)[:, None, None], pattern(1, 4)[:, None, None]
    g = x.reshape(2, 2, 2, 3, 2)
    u, v = g.mean((2, 3, 4), keepdims=True), g.var((2, 3, 4), keepdims=True)
    row("group_norm", "GroupNorm(2, 4)", "m(x)", [x.shape], True,
        ((g - u) / np.sqrt(v + 1e-5)).reshape(x.shape) * w + b)
    u, v = x.mean((0, 2, 3)), x.var((0, 2, 3))
    n = x.size / 4
    old_mean, old_var = pattern(2, 4), pattern(3, 4) ** 2
    y = (x - u[:, None, None]) / np.sqrt(v + 1e-5)[:, None, None] * w + b
    row("batch_norm_training", "BatchNorm2d(4)", "m(x)", [x.shape], True, y,
        0.9 * old_mean + 0.1 * u, 0.9 * old_var + 0.1 * v * n / (n - 1))
    row("batch_norm", "BatchNorm2d(4, eps = 1e-3)", "m(x)", [x.shape], False,
        (x - old_mean[:, None, None]) / np.sqrt(old_var + 1e-3)[:, None, None] * w + b)


def attention():
    q, k, v = pattern(20, 2, 3, 4), pattern(21, 2, 5, 4), pattern(22, 2, 5, 4)
    out = np.zeros((2, 3, 4))
    for b in range(2):
        for h in range(2):
            part = slice(2 * h, 2 * h + 2)
            s = q[b][:, part] @ k[b][:, part].T / math.sqrt(2)
            out[b][:, part] = softmax(s) @ v[b][:, part]
    row("attention", "-", "attention(x, y, z, open(), 2)", [q.shape, k.shape, v.shape], True, out)
    x = pattern(20, 1, 1, 3, 4)[0, 0]
    high, wide = 5, 3
    y = np.zeros((high, wide))
    for p in range(high):
        for s in range(wide):
            r = min(max((p + 0.5) * 3 / high - 0.5, 0), 2)
            c = min(max((s + 0.5) * 4 / wide - 0.5, 0), 3)
            i, j = int(r), int(c)
            a, b = r - i, c - j
            i1, j1 = min(i + 1, 2), min(j + 1, 3)
            y[p, s] = (1 - a) * (1 - b) * x[i, j] + (1 - a) * b * x[i, j1] \
                + a * (1 - b) * x[i1, j] + a * b * x[i1, j1]
    row("resize_bilinear", "-", "resize_bilinear(x, 5, 3)", [(1, 1, 3, 4)], False, y)


def losses():
    z = pattern(20, 4, 3)
    t = np.array([0, 2, 1, 2])
    p = softmax(z)
    nll, uni = -np.log(p[range(4), t]), -np.log(p).mean(-1)
    row("cross_entropy", "-", "cross_entropy(x, [0, 2, 1, 2])", [z.shape], True, [nll.mean()])
    row("cross_entropy_smooth", "-", "cross_entropy(x, [0, 2, 1, 2], smooth = 0.1)", [z.shape], True,
        [(0.9 * nll + 0.1 * uni).mean()])
    row("cross_entropy_skip", "-", "cross_entropy(x, [0, 2, 255, 2], skip = 255)", [z.shape], True,
        [nll[[0, 1, 3]].mean()])
    row("cross_entropy_far", "-", "cross_entropy(x * 1000, [0, 2, 1, 2])", [z.shape], True,
        [(lse(z * 1000) - (z * 1000)[range(4), t]).mean()])
    w = pattern(20, 2, 3, 4)
    ids = [[1, 0, 3], [2, 2, 1]]
    row("next_token_loss", "-", "next_token_loss(x, [[1, 0, 3], [2, 2, 1]])", [w.shape], True,
        [np.mean([lse(w[b, t]) - w[b, t, ids[b][t + 1]] for b in range(2) for t in range(2)])])
    x, y = pattern(20, 3, 4), pattern(21, 3, 4)
    hard = (pattern(21, 3, 4) > 0).astype(float)
    row("mse", "-", "mse(x, y)", [x.shape] * 2, True, [((x - y) ** 2).mean()])
    row("l1", "-", "l1(x, y)", [x.shape] * 2, True, [abs(x - y).mean()])
    d = abs(x - y)
    row("huber", "-", "huber(x, y, delta = 0.5)", [x.shape] * 2, True,
        [np.where(d < 0.5, d ** 2 / 2, 0.5 * (d - 0.25)).mean()])
    q = sigmoid(x)
    row("bce", "-", "bce(x, float(y > 0))", [x.shape] * 2, True,
        [-(hard * np.log(q) + (1 - hard) * np.log(1 - q)).mean()])
    right = np.where(hard == 1, q, 1 - q)
    part = np.where(hard == 1, 0.25, 0.75)
    row("focal", "-", "focal(x, float(y > 0))", [x.shape] * 2, True,
        [(-part * (1 - right) ** 2 * np.log(right)).mean()])
    row("kl", "-", "kl(x, y)", [x.shape] * 2, True,
        [(softmax(x) * (np.log(softmax(x)) - np.log(softmax(y)))).sum(-1).mean()])
    x, y = sigmoid(pattern(20, 2, 2, 3)), (pattern(21, 2, 2, 3) > 0).astype(float)
    row("dice", "-", "dice(sigmoid(x), float(y > 0))", [x.shape] * 2, True,
        [(1 - (2 * (x * y).sum((1, 2)) + 1) / ((x + y).sum((1, 2)) + 1)).mean()])
    row("sumsq", "-", "sumsq(x)", [(3, 4)], True, [(pattern(20, 3, 4) ** 2).sum()])
    row("hits", "-", "hits(x, [0, 2, 1, 2])", [z.shape], False, [(z.argmax(-1) == t).sum()])
    z = pattern(20, 2, 3, 2, 2)
    guess, t = z.argmax(1), np.array([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])
    c = np.zeros((3, 3))
    for a, b in zip(t.reshape(-1), guess.reshape(-1)):
        c[a, b] += 1
    text = "confusion(x, [[[0, 1], [2, 2]], [[1, 1], [0, 2]]])"
    row("confusion", "-", text, [z.shape], False, c)
    iou = [c[k, k] / max(c[k].sum() + c[:, k].sum() - c[k, k], 1) for k in range(3)]
    row("mean_iou", "-", f"mean_iou({text})", [z.shape], False, [np.mean(iou)])


def tensor(k, *shape):
    return torch.tensor(pattern(k, *shape))


def torch_activations():
    x = tensor(20, 3, 4) * 3
    for call, y in {
        "selu(x * 3)": F.selu(x), "celu(x * 3, 0.7)": F.celu(x, 0.7), "log_sigmoid(x * 3)": F.logsigmoid(x),
        "hardsigmoid(x * 3)": F.hardsigmoid(x), "hardtanh(x * 3, -2.0, 0.5)": F.hardtanh(x, -2, 0.5),
        "gelu_quick(x * 3)": x * torch.sigmoid(1.702 * x), "mish(x * 3)": F.mish(x),
        "softsign(x * 3)": F.softsign(x), "tanhshrink(x * 3)": F.tanhshrink(x),
        "softshrink(x * 3, 0.9)": F.softshrink(x, 0.9), "hardshrink(x * 3, 0.9)": F.hardshrink(x, 0.9),
        "glu(x * 3)": F.glu(x),
    }.items():
        row(call.split("(")[0], "-", call, [(3, 4)], False, y)
    x = tensor(20, 2, 3, 2, 2)
    row("prelu", "PReLU(3)", "m(x)", [x.shape], False, F.prelu(x, tensor(0, 3)))
    row("prelu_one", "PReLU()", "m(x)", [x.shape], False, F.prelu(x, tensor(0, 1)))
    x = tensor(20, 4, 3)
    row("prelu_flat", "PReLU(3)", "m(x)", [x.shape], False, F.prelu(x, tensor(0, 3)))
    x = tensor(20, 2, 3, 2, 2)
    row("drop_path_eval", "-", "drop_path(x, 0.5)", [x.shape], False, x)
    row("drop_path_never", "-", "drop_path(x, 0.0)", [x.shape], True, x)


def torch_layers():
    for name, i, o, k, stride, pad, dilation, groups, biased, more, hw in [
        ("plain", 2, 3, 3, 1, 0, 1, 1, True, 0, (3, 2)),
        ("doubling", 2, 3, 4, 2, 1, 1, 1, True, 0, (3, 2)),
        ("more", 2, 2, 3, 2, 1, 1, 1, False, 1, (3, 3)),
        ("dilated", 1, 2, 3, 2, 2, 2, 1, True, 0, (3, 2)),
        ("grouped", 4, 6, 3, 2, 0, 1, 2, True, 1, (2, 2)),
    ]:
        x, w, b = tensor(20, 2, i, *hw), tensor(0, i, o // groups, k, k), tensor(1, o) if biased else None
        made = f"ConvTranspose2d({i}, {o}, {k}, stride = {stride}, pad = {pad}, dilation = {dilation}, " \
               f"groups = {groups}, biased = {'true' if biased else 'false'}, more = {more})"
        row("conv_transpose_" + name, made, "m(x)", [x.shape], False,
            F.conv_transpose2d(x, w, b, stride, pad, more, groups, dilation))
    x = tensor(20, 2, 2, 5, 7)
    for p, q in ((1, 1), (2, 3), (5, 4), (7, 7)):
        row(f"adaptive_avg_{p}_{q}", "-", f"adaptive_avg_pool(x, {p}, {q})", [x.shape], False,
            F.adaptive_avg_pool2d(x, (p, q)))
        row(f"adaptive_max_{p}_{q}", "-", f"adaptive_max_pool(x, {p}, {q})", [x.shape], False,
            F.adaptive_max_pool2d(x, (p, q)))
    x = tensor(20, 1, 2, 3, 4)
    row("resize_nearest_up", "-", "resize_nearest(x, 5, 8)", [x.shape], False,
        F.interpolate(x, size=(5, 8), mode="nearest"))
    row("resize_nearest_down", "-", "resize_nearest(x, 2, 3)", [x.shape], False,
        F.interpolate(x, size=(2, 3), mode="nearest"))
    row("resize_bilinear_down", "-", "resize_bilinear(x, 2, 3)", [x.shape], False,
        F.interpolate(x, size=(2, 3), mode="bilinear"))
    x = tensor(20, 2, 3, 3, 2)
    row("instance_norm", "InstanceNorm2d(3)", "m(x)", [x.shape], True, F.instance_norm(x))
    row("instance_norm_affine", "InstanceNorm2d(3, affine = true)", "m(x)", [x.shape], True,
        F.instance_norm(x, weight=tensor(0, 3), bias=tensor(1, 3)))
    x = tensor(20, 2, 4, 2, 3)
    for hard in (False, True):
        z = F.relu(F.conv2d(x.mean((2, 3), keepdim=True), tensor(0, 2, 4, 1, 1), tensor(1, 2)))
        z = F.conv2d(z, tensor(2, 4, 2, 1, 1), tensor(3, 4))
        row(f"squeeze_excite_{hard}", f"SqueezeExcite(4, 2, hard = {str(hard).lower()})", "m(x)", [x.shape],
            False, x * (F.hardsigmoid(z) if hard else torch.sigmoid(z)))
    x = tensor(20, 2, 3, 6)
    for first in (0, 5):
        turn = torch.polar(torch.ones(3, 3).double(), torch.outer(
            torch.arange(3).double() + first, 100.0 ** (-torch.arange(3).double() / 3)))
        y = torch.view_as_real(torch.view_as_complex(x.reshape(2, 3, 3, 2)) * turn).reshape(2, 3, 6)
        row(f"rotary_interleaved_{first}", "-",
            f"rotary(x, 100.0, interleaved = true, first = {first})", [x.shape], False, y)
        halves = torch.stack((x[..., :3], x[..., 3:]), -1).contiguous()
        y = torch.view_as_real(torch.view_as_complex(halves) * turn)
        row(f"rotary_{first}", "-", f"rotary(x, 100.0, first = {first})", [x.shape], False,
            torch.cat((y[..., 0], y[..., 1]), -1))


def torch_losses():
    z, t, w = tensor(20, 4, 3), torch.tensor([0, 2, 1, 2]), torch.tensor([0.5, 2.0, 1.25]).double()
    call = "cross_entropy_weighted(x, [0, 2, 1, 2], [0.5, 2.0, 1.25]"
    row("cross_entropy_weighted", "-", call + ")", [z.shape], True, F.cross_entropy(z, t, w))
    row("cross_entropy_weighted_smooth", "-", call + ", smooth = 0.1, skip = 1)", [z.shape], True,
        F.cross_entropy(z, t, w, ignore_index=1, label_smoothing=0.1))
    row("cross_entropy_skip_smooth", "-", "cross_entropy(x, [0, 2, 1, 2], smooth = 0.1, skip = 1)",
        [z.shape], True, F.cross_entropy(z, t, ignore_index=1, label_smoothing=0.1))
    row("next_token_loss_skip", "-", "next_token_loss(x, [[1, 0, 2], [2, 0, 1]], skip = 0)", [(2, 3, 4)], True,
        F.cross_entropy(tensor(20, 2, 3, 4)[:, :2].reshape(4, 4), torch.tensor([0, 2, 0, 1]), ignore_index=0))
    x, y = tensor(20, 3, 4), tensor(21, 3, 4)
    hard = (y > 0).double()
    row("bce_positive", "-", "bce(x, float(y > 0), positive = 3.0)", [x.shape] * 2, True,
        F.binary_cross_entropy_with_logits(x, hard, pos_weight=torch.tensor(3.0)))
    row("bce_torch", "-", "bce(x, sigmoid(y))", [x.shape] * 2, True,
        F.binary_cross_entropy_with_logits(x, torch.sigmoid(y)))
    row("huber_torch", "-", "huber(x, y, delta = 0.7)", [x.shape] * 2, True, F.huber_loss(x, y, delta=0.7))
    row("smooth_l1", "-", "smooth_l1(x, y, beta = 0.7)", [x.shape] * 2, True, F.smooth_l1_loss(x, y, beta=0.7))
    row("distill", "-", "distill(x, y, 3.0)", [x.shape] * 2, True, 9 * F.kl_div(
        F.log_softmax(x / 3, -1), F.log_softmax(y / 3, -1), reduction="batchmean", log_target=True))
    far = tensor(22, 3, 4)
    row("triplet", "-", "triplet(x, y, z, margin = 0.5)", [x.shape] * 3, True,
        F.triplet_margin_loss(x, y, far, margin=0.5))
    row("triplet_far", "-", "triplet(x, y, z * 9, margin = 8.0)", [x.shape] * 3, True,
        F.triplet_margin_loss(x, y, far * 9, margin=8.0))
    row("cosine_embedding", "-", "cosine_embedding(x, y, [1, -1, -1], margin = -0.8)", [x.shape] * 2, True,
        F.cosine_embedding_loss(x, y, torch.tensor([1, -1, -1]), margin=-0.8))


def of_rules():
    x = pattern(20, 3, 4)
    row("norm", "-", "norm(x)", [x.shape], True, [np.linalg.norm(x)])
    row("rms", "-", "rms(x)", [x.shape], True, [np.sqrt((x * x).mean())])
    for name, x in (("wide", pattern(20, 2, 4)), ("tall", pattern(20, 4, 2))):
        z = x if name == "wide" else x.T
        z = z / np.linalg.norm(z)
        for _ in range(5):
            a = z @ z.T
            z = 3.4445 * z + (-4.775 * a + 2.0315 * a @ a) @ z
        row("newton_schulz_" + name, "-", "newton_schulz(x)", [x.shape], True, z if name == "wide" else z.T)


def slope(make, n=100):
    """The factors that torch's scheduler gives n + 1 steps: progress 0, 1 / n … 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(n + 1):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


def schedules():
    s = torch.optim.lr_scheduler
    at = (0, 1, 5, 10, 11, 25, 40, 50, 75, 99, 100)

    def slanted(i):
        part = i / 10 if i < 10 else 1 - (i - 10) / 90          # Howard and Ruder 2018, eq. 3
        return (1 + part * 31) / 32

    def warm(make):
        return lambda o: s.SequentialLR(o, [s.LinearLR(o, 1e-9, 1.0, 10), make(o)], [10])
    n = 101
    for name, call, values in [
        ("constant", "constant({})", [1] * n),
        ("constant_warm", "constant({}, 0.1)", slope(warm(lambda o: s.ConstantLR(o, 1.0)))),
        ("warmup", "warmup({}, 0.1)", slope(lambda o: s.LinearLR(o, 1e-9, 1.0, 10))),
        ("cosine", "cosine({})", slope(lambda o: s.CosineAnnealingLR(o, 100))),
        ("cosine_low", "cosine({}, 0.1, 0.2)", slope(warm(lambda o: s.CosineAnnealingLR(o, 90, 0.2)))),
        ("restarts", "cosine_restarts({}, 4, low = 0.1)",
         slope(lambda o: s.CosineAnnealingWarmRestarts(o, 25, eta_min=0.1))[:n - 1] + [0.1]),
        ("restarts_longer", "cosine_restarts({}, 3, longer = 3)",
         slope(lambda o: s.CosineAnnealingWarmRestarts(o, 100, 3), 1300)[::13][:n - 1] + [0.0]),
        ("linear", "linear({}, 0.0, 0.3)", slope(lambda o: s.LinearLR(o, 1.0, 0.3, 100))),
        ("linear_warm", "linear({}, 0.1)", slope(warm(lambda o: s.LinearLR(o, 1.0, 0.0, 90)))),
        ("one_cycle", "one_cycle({})", slope(lambda o: s.OneCycleLR(
            o, 1.0, total_steps=101, pct_start=31 / 101, cycle_momentum=False))),
        ("step", "step({}, 0.25, 0.5)", slope(lambda o: s.StepLR(o, 25, 0.5))),
        ("multistep", "multistep({}, [0.1, 0.5, 0.75], 0.3)", slope(lambda o: s.MultiStepLR(o, [10, 50, 75], 0.3))),
        ("exponential", "exponential({}, 0.05)", slope(lambda o: s.ExponentialLR(o, 0.05 ** 0.01))),
        ("polynomial", "polynomial({}, 0.9)", slope(lambda o: s.PolynomialLR(o, 100, 0.9))),
        ("slanted", "slanted({}, 0.1)", [slanted(i) for i in range(n)]),
    ]:
        row("sched_" + name, "-", "[" + ", ".join(call.format(i / 100) for i in at) + "]", [], True,
            [values[i] for i in at])


def language():
    """../data/language.hone"""
    x, v = pattern(20, 3, 4), pattern(20, 5)
    row("taken_apart", "-", "taken_apart(x)", [x.shape], True, (x * x).sum(1))
    p = np.concatenate([[0], v, [0]])
    row("neighbours", "-", "neighbours(x)", [v.shape], True, p[:-2] - p[2:])
    row("joined", "-", "joined(x, y, z)", [(3,), (1,), (2,)], True,
        np.concatenate([pattern(20, 3), pattern(21, 1), pattern(22, 2)]))
    row("looped", "-", "looped(x)", [x.shape], True, ((x + 1) * 2 + 1) * 3 + 1 - 8)
    row("looped_once", "-", "looped(x, [4])", [x.shape], True, x * 4 + 1)
    row("counted", "-", "counted([0, 3, 3, 1, 7])", [], True, [1, 1, 0, 2])
    row("causal", "-", "causal(x)", [x.shape], True, x.cumsum(0))
    row("rows", "-", "rows(x, [[2, 0], [1, 1]])", [x.shape], True, x[[[2, 0], [1, 1]]])
    row("diagonal", "-", "diagonal(x)", [(4, 4)], True, pattern(20, 4, 4).diagonal())
    w = pattern(20, 6).reshape(3, 2)
    row("windows", "-", "windows(x)", [(6,)], True, w.max(1) - w.min(1))
    row("best", "-", "best(x)", [x.shape], True, x.argmax(1) * 10 + x.argmin(1))
    i = np.arange(14)
    row("cycled", "-", "cycled(x)", [v.shape], True, v[i % 5] * (i // 5) + i)
    row("defaults", "-", "defaults(x) + defaults(x, b = 3) + defaults(x, 2.0)", [v.shape], True,
        0.5 * v + 1 + 0.5 * v + 3 + 2 * v + 4)
    row("rebound", "-", "rebound(x)", [v.shape], True, (2 * v + 2) * (v + 1))
    row("branches", "-", "branches(x, 3) + branches(x, 2) + branches(x, 1) + branches(x, 4, wide = true)",
        [v.shape], True, 3 * v + v + 2 - v + v + 4)
    some, each = (x > 1).any(1), (x > -1.1).all(1)
    row("logic", "-", "logic(x)", [x.shape], True, 2.0 * some + 1.0 * (each & ~some))
    row("product", "-", "product(x)", [x.shape], True, x.prod(1))
    row("nested", "-", "nested(x)", [x.shape], True, (x.sum(1)[:, None] * x).max(1))
    row("broadcast", "-", "broadcast(x, y, 0.5)", [x.shape, (4,)], True,
        (x + pattern(21, 4)) * 0.5 - 1)
    row("ranks", "-", "ranks(x)", [(2, 3, 4)], True, (pattern(20, 2, 3, 4) ** 2).sum(-1))
    row("whole", "-", "whole(x)", [x.shape], True,
        [x.sum() + 10 * x.mean() + 100 * x.max() + 1000 * x.min()])
    b = pattern(21, 4, 2)
    row("matrices", "-", "matrices(x, y)", [(2, 3, 4), (4, 2)], True,
        pattern(20, 2, 3, 4) @ b @ b.T)
    a = pattern(20, 4, 5)
    row("strided", "-", "strided(x)", [a.shape], True,
        [[sum(a[2 * i + p, 2 * j + p - 1] if 0 <= 2 * j + p - 1 < 5 else -1 for p in range(2))
          for j in range(3)] for i in range(2)])
    row("split_heads", "-", "split_heads(x, 2)", [x.shape], True,
        x.reshape(3, 2, 2).transpose(1, 0, 2))
    y = x * 1.3
    row("steps", "-", "steps(x * 1.3)", [x.shape], True,
        np.floor(y) + np.ceil(y) * 10 + np.round(y) * 100 + np.sign(y) * 1000)
    row("modulo", "-", "modulo(x, 0.7)", [x.shape], True, x % 0.7 + 10 * (x // 0.7))
    row("scattered", "-", "scattered(x, [0, 3, 3, 1, 0])", [v.shape], True,
        [v[0] + v[4], v[3], 0, v[1] + v[2]])
    row("ragged", "-", "ragged(x, [0, 3, 5, 1, 9])", [v.shape], True, [0.5, v[2], v[4], v[0], 0.5])
    row("build", "-", "[7 // 2, -7 // 2, -7 % 3, 2^10, 6 / 3, len([1, 2]), max(3, 4), int(2.7), "
        "select(1 < 2, 5, 6), select(true and not false, 0.5, 1)]", [], True,
        [3, -4, 2, 1024, 2, 2, 4, 2, 5, 0.5])


def agree():
    """What numpy says above is what torch and optax say."""
    told = {line.split(" | ")[0]: np.array(line.split(" | ")[5].split(), dtype=float) for line in lines}

    def same(name, *values):
        assert np.allclose(np.concatenate([np.asarray(v).reshape(-1) for v in values]), told[name], atol=1e-12), name

    x = tensor(20, 3, 4) * 3
    for name, y in {
        "relu": F.relu(x), "relu6": F.relu6(x), "sigmoid": torch.sigmoid(x), "leaky_relu": F.leaky_relu(x),
        "elu": F.elu(x), "silu": F.silu(x), "gelu": F.gelu(x), "gelu_tanh": F.gelu(x, approximate="tanh"),
        "softplus": F.softplus(x), "hardswish": F.hardswish(x), "softmax": F.softmax(x, -1),
        "log_softmax": F.log_softmax(x, -1),
    }.items():
        same(name, y)
    x = tensor(20, 2, 2, 5, 6)
    same("max_pool", F.max_pool2d(x, 3, 2, 1))
    same("avg_pool", F.avg_pool2d(x, 3, 2, 1))
    x, w, b = tensor(20, 2, 3, 4), tensor(0, 4), tensor(1, 4)
    same("linear", F.linear(x, tensor(0, 3, 4), tensor(1, 3)))
    same("layer_norm", F.layer_norm(x, (4,), w, b))
    same("rms_norm", F.rms_norm(x, (4,), w, 1e-6))
    x, mean, variance = tensor(20, 2, 4, 3, 2), tensor(2, 4), tensor(3, 4) ** 2
    same("group_norm", F.group_norm(x, 2, w, b))
    same("batch_norm", F.batch_norm(x, mean, variance, w, b, False, eps=1e-3))
    same("batch_norm_training", F.batch_norm(x, mean, variance, w, b, True), mean, variance)
    q, k, v = (tensor(20 + i, 2, n, 2, 2).transpose(1, 2) for i, n in enumerate((3, 5, 5)))
    same("attention", F.scaled_dot_product_attention(q, k, v).transpose(1, 2))
    same("resize_bilinear", F.interpolate(tensor(20, 1, 1, 3, 4), size=(5, 3), mode="bilinear"))
    z, t, words = tensor(20, 4, 3), torch.tensor([0, 2, 1, 2]), tensor(20, 2, 3, 4)
    same("cross_entropy", F.cross_entropy(z, t))
    same("cross_entropy_smooth", F.cross_entropy(z, t, label_smoothing=0.1))
    same("cross_entropy_skip", F.cross_entropy(z, torch.tensor([0, 2, 255, 2]), ignore_index=255))
    same("next_token_loss", F.cross_entropy(words[:, :-1].reshape(4, 4), torch.tensor([0, 3, 2, 1])))
    x, y = tensor(20, 3, 4), tensor(21, 3, 4)
    hard = (y > 0).double()
    same("mse", F.mse_loss(x, y))
    same("l1", F.l1_loss(x, y))
    same("bce", F.binary_cross_entropy_with_logits(x, hard))
    same("kl", F.kl_div(F.log_softmax(y, -1), F.log_softmax(x, -1), reduction="batchmean", log_target=True))
    same("focal", optax.losses.sigmoid_focal_loss(x.numpy(), hard.numpy(), alpha=0.25, gamma=2.0).mean())
    x, hard = torch.sigmoid(tensor(20, 2, 6)), (tensor(21, 2, 6) > 0).double()
    both = [np.stack((p, 1 - p), -1) for p in (x.numpy(), hard.numpy())]    # of the mask, and of the rest
    same("dice", optax.losses.dice_loss(*both, smooth=0.5, apply_softmax=False, reduction="none", axis=1)[:, 0].mean())


for part in (activations, convolutions, pooling, maps_and_norms, attention, losses, torch_activations,
             torch_layers, torch_losses, of_rules, schedules, language, agree):
    part()
with open(os.path.join(os.path.dirname(__file__), "..", "data", "std_values.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
print(len(lines), "rows")
