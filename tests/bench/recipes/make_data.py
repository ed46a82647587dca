"""Data for the recipes of this folder, made up:   make_data.py FOLDER   (then: hone run … --root FOLDER)

tokens.bin: 65,536 tokens as u16, below GPT-2's 50,257; pictures/: 64 PNG files of noise in two classes."""
import os, sys
import numpy as np
from PIL import Image

out = sys.argv[1]
rng = np.random.default_rng(1)
os.makedirs(out, exist_ok=True)
rng.integers(0, 50257, 65536, dtype=np.uint16).tofile(f"{out}/tokens.bin")
for k in range(64):
    folder = f"{out}/pictures/{k % 2}"
    os.makedirs(folder, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(f"{folder}/{k:02}.png")
