"""hone's random numbers in numpy: Philox 4x32-10 keyed as in runtime/rng.c."""
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
