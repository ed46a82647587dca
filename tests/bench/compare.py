#!/usr/bin/env python3
"""hone beside PyTorch's best mode: time of a training step and peak memory, in rounds that alternate.

    tests/bench/compare.py --hone build/hone [ROW…] [--rounds 3] [--threads N] [--modes eager,cl,compile]

Rows: `--list`. Needs Python with torch 2.13, numpy, and for the transformers Hugging Face's transformers. Nothing is read
from disk: hone runs `hone bench`, whose steps are timed inside, on the recipes of recipes/; PyTorch's steps are timed inside a
process per mode, after a warm-up: eager, channels last, torch.compile (default), the optimizers fused. The fastest mode
counts. "of the limit": the least time for the plan's FLOPs and bytes, measured in the same run, over the step's time.
The rows of rules and products have no figures of memory."""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
sys.path.insert(0, os.path.join(HERE, "../parity"))
RECIPES = os.path.join(HERE, "recipes")
CNN, TEXT, SMALL = ("eager", "cl", "compile", "cl+compile"), ("eager", "compile"), ("eager", "compile")
NETS = {   # recipe, modes of PyTorch, steps of hone (0: chosen)
    "resnet50_b8": (CNN, 5), "resnet50_b32": (CNN, 3), "resnet50_head": (CNN, 3), "resnet18_b32": (CNN, 3),
    "mobilenet_v2_b32": (CNN, 3), "gpt2_t64": (TEXT, 5), "gpt2_t256": (TEXT, 3), "bert_full": (TEXT, 3),
    "bert_lora": (TEXT, 3), "bert_head": (TEXT, 3), "digits": (SMALL, 0), "mlp": (SMALL, 0),
}
RULES = {   # hone's rule, the modes of PyTorch
    "SGD": ("SGD(lr = 1e-3, momentum = 0.9, decay = 1e-4)", ("loop", "foreach", "fused", "compile")),
    "AdamW": ("AdamW(lr = 1e-4)", ("loop", "foreach", "fused", "compile")),
    "Lion": ("Lion(lr = 1e-4)", ("loop", "compile")),
    "Adan": ("Adan(lr = 1e-4)", ("loop", "compile")),
    "Adafactor": ("Adafactor(lr = 1e-3)", ("loop", "foreach")),
    "Mine": ("Mine(lr = 1e-3)", ("loop", "compile")),
}
MINE = """optimizer Mine(lr = 1e-2) {
  state a: f32[..] = zeros()
  fn update(p: f32[..], g: f32[..]) {
    a' = max(0.9 * a, abs(g))
    p' = p - lr * g / (a' + 1e-8)
  }
}
"""
PRODUCTS = {   # one product with both its gradients; m n k, or batch size² channels -> channels, kernel, stride
    **{f"gemm {m}x{n}x{k}": (m, n, k) for m, n, k in
       [(1024, 768, 768), (1024, 3072, 768), (1024, 768, 3072), (256, 2304, 768), (256, 50257, 768), (512, 512, 512)]},
    **{f"conv {c}": tuple(map(int, c.replace("->", " ").replace("k", " ").replace("s", " ").replace("x", " ").split())) for c in
       ["8x224 3->64k7s2", "8x56 64->64k1s1", "8x56 64->64k3s1", "8x56 64->256k1s1", "8x56 256->64k1s1", "8x28 128->128k3s1",
        "8x28 512->128k1s1", "8x14 256->256k3s1", "8x14 1024->256k1s1", "8x14 256->1024k1s1", "8x7 512->512k3s1",
        "8x7 512->2048k1s1", "8x28 256->512k1s2"]},
}
PRODUCT = """use optim
module One() {{
  param x: [{x}] = normal(1.0)
  param w: [{w}] = normal(0.02)
  state g: f32[{y}] = constant(0.01)
  fn forward() -> f32 {{
    {equation}
    return sum(y * g)
  }}
}}
data nothing {{ train = images("nothing", size = 1); batch = 1 }}
finetune one {{
  model: One()
  step b in nothing {{ loss = model() }}
  optimizer SGD(lr = 1e-9)
  steps = 1
}}
"""


def child(command, **options):
    """(peak MiB, standard output) of a process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    return (usage.ru_maxrss / 1024, text.decode()) if status == 0 else (0, "")


# --- hone ---------------------------------------------------------------------------------------------------
def product_recipe(name):
    d = PRODUCTS[name]
    if name.startswith("gemm"):
        m, n, k = d
        return PRODUCT.format(x=f"{m}, {k}", w=f"{k}, {n}", y=f"{m}, {n}", equation="y[m, n] = sum[k] x[m, k] * w[k, n]")
    b, size, i, o, k, s = d
    out, pad = (size + 2 * (k // 2) - k) // s + 1, k // 2
    return PRODUCT.format(x=f"{b}, {i}, {size}, {size}", w=f"{o}, {i}, {k}, {k}", y=f"{b}, {o}, {out}, {out}",
                          equation=f"y[n, o, p < {out}, q < {out}] = sum[c, i, j] w[o, c, i, j] * "
                                   f"(x[n, c, p*{s} + i - {pad}, q*{s} + j - {pad}] ?? 0)")


def hone_command(args, row, folder):
    base = [args.hone, "bench", "--json", "--threads", str(args.threads)]
    if args.target:
        base += ["--target", args.target]
    if row in RULES:
        with open(f"{folder}/mine.hone", "w") as f:
            f.write(MINE)
        library = [f"{folder}/mine.hone"] if row == "Mine" else []
        return base + library + ["--update", RULES[row][0], "--shapes", f"{RECIPES}/gpt2_t64.hone", "--steps", "15"]
    if row in PRODUCTS:
        with open(f"{folder}/one.hone", "w") as f:
            f.write(product_recipe(row))
        return base + [f"{folder}/one.hone"]
    path = f"{ROOT}/samples/digits/pretrain.hone" if row == "digits" else f"{RECIPES}/{row}.hone"
    steps = args.steps or NETS[row][1]
    return base + [path] + (["--steps", str(steps)] if steps else [])


def hone_step(args, row, folder):
    """(seconds, least seconds, peak MiB)"""
    _, text = child(hone_command(args, row, folder))
    lines = [json.loads(line) for line in text.splitlines()]
    found = [r for r in lines if "step" in r or "rule" in r]
    if not found:
        return None
    r = found[0]
    if "rule" in r:
        return r["seconds"], r["stream_seconds"], 0
    return r["step"]["seconds"], r["step"]["limit"], r["peak_bytes"] / 2**20


# --- the same in PyTorch, in a process of its own -----------------------------------------------------------------
def torch_lora(torch, model):
    for layer in model.bert.encoder.layer:
        for name in ("query", "value"):
            base = getattr(layer.attention.self, name)

            class Adapted(torch.nn.Module):
                def __init__(self, base):
                    super().__init__()
                    self.base, d = base, base.in_features
                    self.lora_a = torch.nn.Parameter(torch.randn(8, d) / d**0.5)
                    self.lora_b = torch.nn.Parameter(torch.zeros(d, 8))

                def forward(self, x):
                    return self.base(x) + 2.0 * (x @ self.lora_a.T @ self.lora_b.T)
            setattr(layer.attention.self, name, Adapted(base))


def torch_net(row, modes):
    """(model, loss of the model, optimizer)"""
    import torch
    import torch.nn.functional as F
    like = dict(memory_format=torch.channels_last) if "cl" in modes else {}
    if row.startswith(("resnet", "mobilenet")):
        if row.startswith("resnet"):
            from resnet import resnet
            model = resnet(50 if "50" in row else 18, 1000)
        else:
            from mobilenet_v2 import MobileNetV2
            model = MobileNetV2(1000, 1.0)
        model = model.to(**like).train()
        b = 8 if row.endswith("b8") else 32
        x, y = torch.randn(b, 3, 224, 224).to(**like), torch.randint(0, 1000, (b,))
        if row.endswith("head"):
            for name, p in model.named_parameters():
                p.requires_grad_(name.startswith("fc"))
            model.eval()
        some = [p for p in model.parameters() if p.requires_grad]
        return model, lambda m: F.cross_entropy(m(x), y), torch.optim.SGD(some, 1e-3, 0.9, weight_decay=1e-4)
    if row.startswith("gpt2"):
        from transformers import GPT2Config, GPT2LMHeadModel
        t = int(row[6:])
        model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)).train()
        ids, y = torch.randint(0, 50257, (4, t)), torch.randint(0, 50257, (4 * t,))
        return model, lambda m: F.cross_entropy(m(input_ids=ids, use_cache=False).logits.view(-1, 50257), y), \
            torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.1, fused=True)
    if row.startswith("bert"):
        from transformers import BertConfig, BertForSequenceClassification
        model = BertForSequenceClassification(BertConfig(hidden_dropout_prob=0, attention_probs_dropout_prob=0)).train()
        if row == "bert_lora":
            torch_lora(torch, model)
        if row != "bert_full":
            for name, p in model.named_parameters():
                p.requires_grad_(name.startswith("classifier") or "lora" in name)
        ids, mask, y = torch.randint(0, 30522, (8, 128)), torch.ones(8, 128, dtype=torch.long), torch.randint(0, 2, (8,))
        some = [p for p in model.parameters() if p.requires_grad]
        return model, lambda m: F.cross_entropy(m(input_ids=ids, attention_mask=mask).logits, y), \
            torch.optim.AdamW(some, 2e-5, weight_decay=0.01, fused=True)
    if row == "digits":
        sys.argv = sys.argv[:1]
        from digits import DigitNet
        model, x, y = DigitNet(5).train(), torch.randn(32, 1, 8, 8), torch.randint(0, 5, (32,))
        with torch.no_grad():
            try:
                model(x)
            except Exception:
                x = torch.randn(32, 8, 8)
    else:
        model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        x, y = torch.randn(32, 64), torch.randint(0, 10, (32,))
    return model, lambda m: F.cross_entropy(m(x), y), torch.optim.AdamW(model.parameters(), 1e-3, fused=True)


def gpt2_parameters(torch):
    shapes = [(50257, 768), (1024, 768)] + 12 * [(768,), (768,), (768, 2304), (2304,), (768, 768), (768,), (768,), (768,),
                                                 (768, 3072), (3072,), (3072, 768), (768,)] + [(768,), (768,)]
    params = [torch.nn.Parameter(torch.full(s, 0.5)) for s in shapes]
    for p in params:
        p.grad = torch.full_like(p, 1e-3)
    return params


def torch_rule(row, mode):
    """One update of all parameters. Lion, Adan and Mine are no rules of torch: written as one writes them there."""
    import torch
    params = gpt2_parameters(torch)
    how = dict(foreach=mode == "foreach")
    if row in ("SGD", "AdamW") and mode == "fused":
        how = dict(fused=True)
    if row == "SGD":
        step = torch.optim.SGD(params, 1e-3, 0.9, weight_decay=1e-4, **how).step
    elif row == "AdamW":
        step = torch.optim.AdamW(params, 1e-4, **how).step
    elif row == "Adafactor":
        step = torch.optim.Adafactor(params, 1e-3, **how).step
    else:
        states = [[torch.zeros_like(p) for _ in range(4)] for p in params]

        @torch.no_grad()
        def step():
            for p, (m, d, n, before) in zip(params, states):
                g = p.grad
                if row == "Lion":
                    u = (0.9 * m + 0.1 * g).sign_()
                    p.mul_(1 - 1e-5).add_(u, alpha=-1e-4)
                    m.mul_(0.99).add_(g, alpha=0.01)
                elif row == "Adan":
                    change = g - before
                    before.copy_(g)
                    m.mul_(0.98).add_(g, alpha=0.02)
                    d.mul_(0.92).add_(change, alpha=0.08)
                    look = g + 0.92 * change
                    n.mul_(0.99).addcmul_(look, look, value=0.01)
                    p.add_((m + 0.92 * d) / (n.sqrt() + 1e-8), alpha=-1e-4)
                else:
                    torch.maximum(0.9 * m, g.abs(), out=m)
                    p.addcdiv_(g, m + 1e-8, value=-1e-3)
    return torch.compile(step) if mode == "compile" else step


def torch_product(row, modes):
    import torch
    import torch.nn.functional as F
    d = PRODUCTS[row]
    if row.startswith("gemm"):
        m, n, k = d
        x, w, g = torch.randn(m, k), torch.randn(k, n) * 0.02, torch.randn(m, n)
        product = lambda: x @ w
    else:
        b, size, i, o, k, s = d
        like = dict(memory_format=torch.channels_last) if "cl" in modes else {}
        x, w = torch.randn(b, i, size, size).to(**like), (torch.randn(o, i, k, k) * 0.02).to(**like)
        product = lambda: F.conv2d(x, w, None, s, k // 2)
        g = torch.randn_like(product())
    x.requires_grad_(), w.requires_grad_()

    def step():
        x.grad = w.grad = None
        product().backward(g)
    return step


def torch_main(args):
    import torch
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    row, modes = args.torch, args.mode.split("+")
    if row in RULES:
        step = torch_rule(row, args.mode)
    elif row in PRODUCTS:
        step = torch_product(row, modes)
    else:
        model, loss, update = torch_net(row, modes)
        run = torch.compile(model) if "compile" in modes else model

        def step():
            update.zero_grad(set_to_none=True)
            loss(run).backward()
            update.step()
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    step()
    seconds, end = [], time.perf_counter() + 3
    while len(seconds) < 3 or (time.perf_counter() < end and len(seconds) < 200):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds), "first": first}))


def torch_best(args, row):
    """(seconds, mode, peak MiB) of the fastest mode."""
    all_modes = NETS[row][0] if row in NETS else RULES[row][1] if row in RULES else \
        ("eager",) if row.startswith("gemm") else ("eager", "cl")
    wanted = args.modes.split(",") if args.modes else all_modes
    results = []
    for mode in [m for m in all_modes if m in wanted]:
        peak, text = child([sys.executable, __file__, "--threads", str(args.threads), "--torch", row, "--mode", mode],
                           stderr=None if args.verbose else subprocess.DEVNULL)
        if text:
            results.append((json.loads(text.splitlines()[-1])["seconds"], mode, peak))
    return min(results) if results else None


# --- the table ---------------------------------------------------------------------------------------------------
def milliseconds(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def compare(args, row, folder):
    ours, theirs = [], []
    for _ in range(args.rounds):
        one, other = hone_step(args, row, folder), None if args.alone else torch_best(args, row)
        if one is None:
            print(f"| {row} | failed | | | | | | |", flush=True)
            return
        ours.append(one)
        theirs += [other] if other else []
    pick = lambda rows, i: statistics.median(r[i] for r in rows)
    share = statistics.median(r[1] / r[0] for r in ours)
    left = f"| {row} | {milliseconds(pick(ours, 0))} | {100 * share:.0f} % |"
    memory = f" {pick(ours, 2):.0f} |" if ours[0][2] else " |"
    if not theirs:
        print(f"{left} | | |{memory} | |", flush=True)
        return
    ratio = statistics.median(b[0] / a[0] for a, b in zip(ours, theirs))
    peaks = f"{memory} {pick(theirs, 2):.0f} | {pick(ours, 2) / pick(theirs, 2):.2f} |" if ours[0][2] else " | | |"
    print(f"{left} {milliseconds(pick(theirs, 0))} | {min(theirs)[1]} | {ratio:.2f} |{peaks}", flush=True)


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("rows", nargs="*", default=[])
    ap.add_argument("--hone", default=os.path.join(ROOT, "build/hone"))
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--steps", type=int, default=0, help="steps of hone (default: by row)")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--target", help="of hone: x86-64-v3 on a machine with AVX-512")
    ap.add_argument("--modes", help="of PyTorch, of: eager cl compile cl+compile loop foreach fused")
    ap.add_argument("--alone", action="store_true", help="hone only")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--verbose", action="store_true")
    ap.add_argument("--torch", help=argparse.SUPPRESS)
    ap.add_argument("--mode", default="eager", help=argparse.SUPPRESS)
    args = ap.parse_args()
    args.hone = os.path.abspath(args.hone)
    every = {"nets": list(NETS), "rules": list(RULES), "products": list(PRODUCTS)}
    if args.list:
        for name, rows in every.items():
            print(f"{name}: {', '.join(rows)}")
        return None
    if args.torch:
        return torch_main(args)
    rows = [r for name in args.rows or every for r in every.get(name, [name])]
    wrong = [r for r in rows if not any(r in e for e in every.values())]
    if wrong:
        sys.exit(f"no row {wrong[0]}; --list shows them")
    print(f"{cpu()}, {args.threads} threads, target {args.target or 'of this machine'}, load {os.getloadavg()[0]:.1f}, "
          f"{args.rounds} rounds, medians\n")
    print("| row | hone, ms | of the limit | PyTorch, ms | its mode | PyTorch / hone | hone, MiB | PyTorch, MiB | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            compare(args, row, folder)
    return None


if __name__ == "__main__":
    main()
