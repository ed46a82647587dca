"""hone against PyTorch in the same run, alternating; by hand, never a test.

    tests/bench/compare.py --hone build/hone [--rows digits,mobilenet,resnet50,check]

Needs Python with torch 2.13, numpy and safetensors. hone's step time is the difference of two runs of
different length over the same synthetic data, so start, compilation and saving cancel out; PyTorch's
is the median of its steps. Prints the CPU beside the figures."""
import argparse, json, os, statistics, subprocess, sys, tempfile, time
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../parity"))


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            flags = next(l for l in open("/proc/cpuinfo") if l.startswith("flags"))
            return line.split(":")[1].strip() + (" (AVX-512)" if "avx512f" in flags else " (AVX2)")
    return "unknown"


RECIPES = {
    "digits": dict(
        batch=32, shape=(1, 8, 8), classes=10, short=100, long=1100, dtype=np.uint8,
        head="use net, losses, optim", model="DigitNet(classes = 10)", z="model(b.image)",
        rule="AdamW(lr = 1e-3)"),
    "mobilenet": dict(
        batch=20, shape=(3, 224, 224), classes=5, short=2, long=12, dtype=np.float32,
        head="use mobilenet_v1, losses, optim", model="MobileNetV1(classes = 5, width = 0.25)",
        z="model(b.image)", rule="AdamW(lr = 1e-4)"),
    "resnet50": dict(
        batch=8, shape=(3, 224, 224), classes=37, short=1, long=4, dtype=np.float32,
        head="use resnet, losses, optim", model="ResNet50(classes = 37)", z="model(b.image)",
        rule="SGD(lr = 1e-3, momentum = 0.9, decay = 1e-4)"),
}


def recipe(row, steps, folder):
    path = f"{folder}/{row['name']}-{steps}.hone"
    open(path, "w").write(f"""{row['head']}
data synthetic {{
  train = arrays("{row['name']}.npz")
  batch = {row['batch']}
}}
finetune bench {{
  model: {row['model']}
  step b in synthetic {{
    z    = {row['z']}
    loss = cross_entropy(z, b.label)
  }}
  optimizer {row['rule']}
  steps = {steps}
  checkpoint = 1000000
}}
""")
    return path


def prepare(name, folder):
    row = dict(RECIPES[name], name=name)
    n = 4 * row["batch"]
    rng = np.random.default_rng(0)
    image = (rng.integers(0, 17, (n, *row["shape"])) if row["dtype"] == np.uint8
             else rng.standard_normal((n, *row["shape"]))).astype(row["dtype"])
    np.savez(f"{folder}/{name}.npz", image=image, label=rng.integers(0, row["classes"], n).astype(np.int32))
    return row


def hone_seconds(hone, row, steps, folder):
    path = recipe(row, steps, folder)
    out = tempfile.mkdtemp(dir=folder)
    start = time.perf_counter()
    subprocess.run([hone, "run", path, "--quiet", "--out", f"{out}/run"], check=True,
                   stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def torch_step(name, row):
    code = f"""
import sys, time, statistics
sys.path.insert(0, {os.path.join(HERE, '../parity')!r})
import torch, torch.nn.functional as F
torch.set_num_threads(2)
if {name!r} == "digits":
    from digits import DigitNet
    m = DigitNet(10); x = torch.randint(0, 17, ({row['batch']}, 1, 8, 8), dtype=torch.uint8)
elif {name!r} == "mobilenet":
    from mobilenet import MobileNetV1
    m = MobileNetV1(5)
    x = torch.randn({row['batch']}, 3, 224, 224)
else:
    from resnet import resnet50
    m = resnet50({row['classes']}); x = torch.randn({row['batch']}, 3, 224, 224)
cl = {name!r} != "digits"
if cl:
    m = m.to(memory_format=torch.channels_last); x = x.contiguous(memory_format=torch.channels_last)
y = torch.randint(0, {row['classes']}, ({row['batch']},))
opt = (torch.optim.SGD(m.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4) if {name!r} == "resnet50"
       else torch.optim.AdamW(m.parameters(), lr=1e-3))
ts = []
for k in range({300 if name == 'digits' else 6}):
    t = time.perf_counter()
    loss = F.cross_entropy(m(x), y); opt.zero_grad(set_to_none=True); loss.backward(); opt.step()
    ts.append(time.perf_counter() - t)
print(statistics.median(ts[len(ts) // 3:]))
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--hone", required=True)
    ap.add_argument("--rows", default="digits,mobilenet,resnet50,check")
    ap.add_argument("--turns", type=int, default=3)
    args = ap.parse_args()
    print(f"{cpu_name()}, {os.cpu_count()} cores")
    print(f"{'row':<12} {'hone ms/step':>14} {'PyTorch ms/step':>16} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        samples = os.path.join(HERE, "../../samples/digits/net.hone")
        open(f"{folder}/net.hone", "w").write(open(samples).read())
        for name in args.rows.split(","):
            if name == "check":
                times = []
                for _ in range(5):
                    start = time.perf_counter()
                    subprocess.run([args.hone, "check", os.path.join(HERE, "../../samples/digits/pretrain.hone")],
                                   stdout=subprocess.DEVNULL, check=True)
                    times.append(time.perf_counter() - start)
                print(f"hone check of samples/digits/pretrain.hone: {1000 * statistics.median(times):.0f} ms")
                continue
            row = prepare(name, folder)
            ours, theirs = [], []
            for _ in range(args.turns):
                a = hone_seconds(args.hone, row, row["short"], folder)
                b = hone_seconds(args.hone, row, row["long"], folder)
                ours.append((b - a) / (row["long"] - row["short"]))
                theirs.append(torch_step(name, row))
            o, t = statistics.median(ours), statistics.median(theirs)
            print(f"{name:<12} {1000 * o:14.3f} {1000 * t:16.3f} {t / o:7.2f}", flush=True)


if __name__ == "__main__":
    main()
