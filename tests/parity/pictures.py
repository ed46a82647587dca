"""Makes tests/data/pictures: small synthetic pictures in every encoding the reader knows, and what
Pillow makes of them (expected.npz: <name>.<crop> u8 [3, S, S])."""
import os, sys
import numpy as np
from PIL import Image

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/pictures")
SIZE = 14


def scene(width, height, channels, seed):
    """Smooth waves with edges: compresses well, exercises every filter tap."""
    y, x = np.mgrid[0:height, 0:width]
    layers = [127 + 90 * np.sin((x * (c + 1) + seed) / 7) * np.cos(y / (5 + c)) + 35 * ((x // 9 + y // 7) % 2)
              for c in range(channels)]
    return np.clip(np.stack(layers, -1), 0, 255).astype(np.uint8)


def center(image):
    w, h = image.size
    short = SIZE * 8 // 7
    w2, h2 = (short, short * h // w) if w <= h else (short * w // h, short)
    image = image.resize((w2, h2), Image.BILINEAR)
    left, top = round((w2 - SIZE) / 2), round((h2 - SIZE) / 2)
    return image.crop((left, top, left + SIZE, top + SIZE))


pictures = {
    "baseline.jpg": (Image.fromarray(scene(61, 45, 3, 0)), dict(quality=85)),
    "full.jpg": (Image.fromarray(scene(40, 53, 3, 1)), dict(quality=90, subsampling=0)),
    "progressive.jpg": (Image.fromarray(scene(47, 33, 3, 2)), dict(quality=80, progressive=True)),
    "grey.jpg": (Image.fromarray(scene(29, 37, 1, 3)[..., 0]), dict(quality=85)),
    "cmyk.jpg": (Image.fromarray(scene(33, 31, 4, 4), "CMYK"), dict(quality=90)),
    "rgb.png": (Image.fromarray(scene(37, 29, 3, 5)), {}),
    "rgba.png": (Image.fromarray(scene(23, 23, 4, 6), "RGBA"), {}),
    "grey.png": (Image.fromarray(scene(17, 31, 1, 7)[..., 0]), {}),
    "palette.png": (Image.fromarray(scene(31, 19, 3, 8)).quantize(16), {}),
    "tiny.png": (Image.fromarray(scene(5, 4, 3, 9)), {}),
}
os.makedirs(out, exist_ok=True)
expected = {}
for name, (image, options) in pictures.items():
    path = os.path.join(out, name)
    image.save(path, **options)
    decoded = Image.open(path).convert("RGB")
    for crop, result in (("none", decoded.resize((SIZE, SIZE), Image.BILINEAR)), ("center", center(decoded))):
        expected[f"{name}.{crop}"] = np.asarray(result).transpose(2, 0, 1).copy()
np.savez_compressed(os.path.join(out, "expected.npz"), **expected)
print(sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out)), "bytes")
