"""hone's random numbers in numpy: Philox 4x32-10 keyed as in runtime/rng.c."""
import math
import numpy as np


def hash_key(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def words(seed, key, step, element):
    """Four u32 words per element (an array of u64)."""
    k = (seed ^ key) & 0xFFFFFFFFFFFFFFFF
    k0, k1 = np.uint64(k & 0xFFFFFFFF), np.uint64(k >> 32)
    e = np.asarray(element, np.uint64)
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c = [e & mask, e >> shift, np.full_like(e, step & 0xFFFFFFFF), np.full_like(e, step >> 32)]
    m0, m1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    for _ in range(10):
        p0, p1 = m0 * c[0], m1 * c[2]
        c = [(p1 >> shift) ^ c[1] ^ k0, p1 & mask, (p0 >> shift) ^ c[3] ^ k1, p0 & mask]
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return c


def uniform(seed, key, step, element):
    return ((words(seed, key, step, element)[0] >> np.uint64(8)).astype(np.float32)
            * np.float32(2.0 ** -24))


def normal(seed, key, step, element):
    """Box-Muller from words 0 and 1."""
    w = words(seed, key, step, element)
    u1 = (w[0].astype(np.float64) + 1) * 2.0 ** -32
    return np.sqrt(-2 * np.log(u1)) * np.cos(2 * math.pi * w[1].astype(np.float64) * 2.0 ** -32)


def initialise(model, seed, only=""):
    """Parameters of torch layers as hone's standard library initialises them: `hone run` without `load`
    starts from the same numbers. only: names that start so, as after `fresh`."""
    import torch
    for path, layer in model.named_modules():
        for name, p in layer.named_parameters(recurse=False):
            key = f"{path}.{name}"
            if not key.startswith(only) or isinstance(layer, (torch.nn.BatchNorm2d, torch.nn.LayerNorm)):
                continue
            at = np.arange(p.numel(), dtype=np.uint64)
            if isinstance(layer, torch.nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                v = -bound + uniform(seed, hash_key(key), 0, at).astype(np.float64) * (2 * bound)
            elif name == "weight":
                fan = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
                v = math.sqrt(2 / fan) * normal(seed, hash_key(key), 0, at)
            else:
                v = np.zeros(p.numel())
            with torch.no_grad():
                p.copy_(torch.from_numpy(v.astype(np.float32).reshape(p.shape)))
