#!/usr/bin/env python3
"""hone beside PyTorch eager: time of a training step and peak memory, in rounds that alternate.

    tests/bench/compare.py --hone build/hone [CASE…] [--rounds 3] [--threads N]

Cases: digits, mobilenet, resnet50, adamw, compile, check. Needs Python with torch 2.13 and numpy. A
step of hone is the difference of a long and a short run, so that compiling, opening and saving cancel;
it contains the loading of the batch. A step of PyTorch is timed inside, after a warm-up. On a machine with
other work on it, `--cpu --threads 1` compares seconds of processor time instead of seconds."""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../parity"))
DIGITS = os.path.join(HERE, "../../samples/digits")

RECIPE = """use net, nn, losses, optim, {uses}
option n = 10
data d {{ train = arrays("{data}"); batch = {batch} }}
finetune bench {{
  model: {model}
  step b in d {{
    loss = {loss}
  }}
  optimizer {optimizer}
  steps = n
  seed  = 1
}}
"""
CASES = {   # steps of the short and the long run
    "digits": dict(model="DigitNet(classes = 10)", data="train.npz", batch=32, uses="sched", steps=(100, 700),
                   loss="cross_entropy(model(b.image), b.label)", optimizer="AdamW(lr = 1e-3)"),
    "mobilenet": dict(model="MobileNetV1(classes = 5, width = 0.25)", data="x.npz", batch=20,
                      uses="mobilenet_v1", steps=(2, 12), classes=5, optimizer="AdamW(lr = 1e-4)",
                      loss="cross_entropy(model(b.image), b.label)"),
    "resnet50": dict(model="ResNet50(classes = 10)", data="x.npz", batch=8, uses="resnet", steps=(1, 3),
                     classes=10, loss="cross_entropy(model(b.image), b.label)",
                     optimizer="SGD(lr = 1e-3, momentum = 0.9)"),
    "adamw": dict(model="Gpt2Shapes()", data="one.npz", batch=1, uses="sched", steps=(4, 34),
                  loss="model(b.x)", optimizer="AdamW(lr = 1e-4)"),
}
GPT2 = [(50257, 768), (1024, 768)] + 12 * [(768,), (768,), (768, 2304), (2304,), (768, 768), (768,), (768,),
                                           (768,), (768, 3072), (3072,), (3072, 768), (768,)] + [(768,), (768,)]


def shapes_module():
    """Parameters of GPT-2 with 124 M numbers; the gradient of each is a stored tensor, read by the update."""
    lines = ["module Gpt2Shapes() {"]
    for i, shape in enumerate(GPT2):
        dims = ", ".join(map(str, shape))
        lines += [f"  param p{i}: [{dims}] = ones()", f"  state g{i}: f32[{dims}] = ones()"]
    lines += ["  fn forward(x: f32[N]) -> f32 {", "    y = sum(x)"]
    lines += [f"    y = y + sum(p{i} * g{i})" for i in range(len(GPT2))]
    return "\n".join(lines + ["    return y", "  }", "}"]) + "\n"


def write_case(folder, name):
    import numpy as np
    case = CASES[name]
    with open(f"{folder}/{name}.hone", "w") as f:
        f.write(RECIPE.format(**{k: v for k, v in case.items() if "{" + k + "}" in RECIPE}))
    with open(f"{folder}/net.hone", "w") as f:
        f.write(shapes_module() if name == "adamw" else open(f"{DIGITS}/net.hone").read())
    if name == "digits":
        with open(f"{folder}/train.npz", "wb") as f:
            f.write(open(f"{DIGITS}/train.npz", "rb").read())
    elif name == "adamw":
        np.savez(f"{folder}/one.npz", x=np.ones(1, np.float32))
    else:
        n = 2 * case["batch"]
        x = np.random.default_rng(1).standard_normal((n, 3, 224, 224), np.float32)
        np.savez(f"{folder}/x.npz", image=x, label=(np.arange(n) % case["classes"]).astype(np.int32))


def child(command, **options):
    """(seconds of processor time, peak MiB, standard output) of a process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text.decode()


def hone_step(args, folder, name, round_):
    runs = []
    for steps in CASES[name]["steps"]:
        out = f"{folder}/run-{round_}-{steps}"
        used, peak, text = child([args.hone, "run", f"{folder}/{name}.hone", "--n", str(steps), "--out", out,
                               "--threads", str(args.threads), "--json"], stderr=subprocess.DEVNULL)
        end = next(r for r in map(json.loads, text.splitlines()) if r.get("event") == "end")
        runs.append((steps, used if args.cpu else end["seconds"], peak))
    (n1, t1, _), (n2, t2, peak) = runs
    return (t2 - t1) / (n2 - n1), peak


# --- the same in PyTorch, in a process of its own -------------------------------------------------------
def torch_model(name):
    if name == "digits":
        sys.argv = sys.argv[:1]
        from digits import DigitNet
        return DigitNet(10)
    if name == "mobilenet":
        from mobilenet import MobileNetV1
        return MobileNetV1(5)
    from resnet import resnet
    return resnet(50, 10)


def torch_step(name, folder, threads, clock):
    import numpy as np, torch
    import torch.nn.functional as F
    torch.set_num_threads(threads)
    case = CASES[name]
    if name == "adamw":
        params = [torch.nn.Parameter(torch.ones(s)) for s in GPT2]
        for p in params:
            p.grad = torch.ones_like(p)
        adam = torch.optim.AdamW(params, 1e-4, fused=True)
        step = adam.step
    else:
        file = np.load(f"{folder}/{case['data']}")
        x, y = torch.from_numpy(file["image"]), torch.from_numpy(file["label"]).long()
        model = torch_model(name).train()
        if name == "resnet50":
            update = torch.optim.SGD(model.parameters(), 1e-3, 0.9)
        else:
            update = torch.optim.AdamW(model.parameters(), 1e-3)

        def step():
            i = torch.randperm(len(x))[:case["batch"]]
            loss = F.cross_entropy(model(x[i]), y[i])
            update.zero_grad(set_to_none=True)
            loss.backward()
            update.step()
    short, long_ = case["steps"]
    for _ in range(min(short, 20)):
        step()
    count = min(long_ - short, 100)
    start = clock()
    for _ in range(count):
        step()
    print((clock() - start) / count)


def compare(args, name, folder):
    write_case(folder, name)
    ours, theirs = [], []
    for k in range(args.rounds):
        ours.append(hone_step(args, folder, name, k))
        _, peak, text = child([sys.executable, __file__, "--hone", args.hone, "--threads", str(args.threads),
                               "--torch", name, "--folder", folder, *["--cpu"] * args.cpu])
        theirs.append((float(text), peak))
    pick = lambda rows, i: statistics.median(r[i] for r in rows)
    ratio = statistics.median(b[0] / a[0] for a, b in zip(ours, theirs))
    print(f"| {name} | {1e3 * pick(ours, 0):.2f} | {1e3 * pick(theirs, 0):.2f} | {ratio:.2f} | "
          f"{pick(ours, 1):.0f} | {pick(theirs, 1):.0f} |", flush=True)


def compile_time(args, folder):
    write_case(folder, "resnet50")
    command = [args.hone, "run", f"{folder}/resnet50.hone", "--n", "1", "--out", f"{folder}/compiled", "--time"]
    process = subprocess.run(command, capture_output=True, text=True)
    stages = [line.split() for line in process.stderr.splitlines() if line.endswith(" ms")]
    seconds = {s[0]: float(s[1]) / 1e3 for s in stages if len(s) == 3}
    print(f"compile ResNet-50 forward, backward, update: {sum(seconds.values()):.1f} s, of which llvm "
          f"{seconds.get('llvm', 0):.1f} s", flush=True)


def check_time(args):
    times = []
    for _ in range(max(5, args.rounds)):
        start = time.perf_counter()
        child([args.hone, "check", f"{DIGITS}/pretrain.hone"])
        times.append(time.perf_counter() - start)
    print(f"hone check samples/digits/pretrain.hone from the shell: {statistics.median(times):.3f} s", flush=True)


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("cases", nargs="*", default=[])
    ap.add_argument("--hone", default=os.path.join(HERE, "../../build/hone"))
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--cpu", action="store_true", help="compare processor time")
    ap.add_argument("--torch", help=argparse.SUPPRESS)
    ap.add_argument("--folder", help=argparse.SUPPRESS)
    args = ap.parse_args()
    if args.torch:
        return torch_step(args.torch, args.folder, args.threads,
                          time.process_time if args.cpu else time.perf_counter)
    cases = args.cases or [*CASES, "compile", "check"]
    print(f"{cpu()}, {args.threads} threads, load {os.getloadavg()[0]:.1f}, {args.rounds} rounds, medians of "
          f"{'processor time' if args.cpu else 'time'}\n")
    with tempfile.TemporaryDirectory() as folder:
        print("| case | hone, ms a step | PyTorch, ms a step | PyTorch / hone | hone, MiB | PyTorch, MiB |")
        print("|---|---|---|---|---|---|")
        for name in [c for c in cases if c in CASES]:
            compare(args, name, folder)
        print()
        if "compile" in cases:
            compile_time(args, folder)
        if "check" in cases:
            check_time(args)


if __name__ == "__main__":
    main()
