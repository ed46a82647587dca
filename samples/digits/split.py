"""Makes the four data files of this folder from digits.csv.gz: one line a picture, 64 pixels 0..16,
then the digit. Usage: split.py digits.csv.gz"""
import gzip, sys
import numpy as np

rows = np.array([[int(v) for v in line.split(",")] for line in gzip.open(sys.argv[1], "rt")])
image = rows[:, :64].reshape(-1, 1, 8, 8).astype(np.uint8)
label = rows[:, 64].astype(np.int32)
place = np.arange(len(rows))
valid = place % 5 == 4                       # every fifth picture
old = label < 5
first = ~valid & old & (place % 3 != 0)      # two thirds of the digits 0-4: what the old model saw
for name, keep in [("old-train", first), ("old-valid", valid & old),
                   ("train", ~valid & ~first), ("valid", valid)]:
    np.savez_compressed(name + ".npz", image=image[keep], label=label[keep])
    print(name, int(keep.sum()))
