"""Data for the recipes of this folder, made up:   make_data.py FOLDER   (then: hone run … --root FOLDER)

tokens.bin: 65,536 tokens as u16, below GPT-2's 50,257; pictures/: 1000 classes with a PNG file of noise each,
64 of them different."""
import os, sys
import numpy as np
from PIL import Image

out = sys.argv[1]
rng = np.random.default_rng(1)
os.makedirs(out, exist_ok=True)
rng.integers(0, 50257, 65536, dtype=np.uint16).tofile(f"{out}/tokens.bin")
for k in range(1000):
    path = lambda k: f"{out}/pictures/{k:03}/picture.png"
    os.makedirs(os.path.dirname(path(k)))
    if k < 64:
        Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(path(k))
    else:
        os.link(path(k % 64), path(k))
