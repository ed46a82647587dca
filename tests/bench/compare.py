#!/usr/bin/env python3
"""hone beside PyTorch's best mode, JAX and llm.c: time of a training step and peak memory, in rounds that alternate.

    tests/bench/compare.py --hone build/hone [ROW…] [--rounds 3] [--threads N] [--modes eager,cl,compile,jax]
    tests/bench/compare.py --scaling resnet50_b8          one thread against all
    tests/bench/compare.py r50 "dw.96s2 y" gelu           products and maps by the beginning of their names (bench_contract)

Rows: `--list`. Needs Python with torch 2.13, numpy, and for the transformers Hugging Face's transformers; takes JAX with optax
where installed, torch.compile where a C++ compiler works, llm.c where --llmc names it. Nothing is read from disk: hone runs
`hone bench`, whose steps are timed inside, on the recipes of recipes/; the rivals' steps are timed inside a process per mode,
after a warm-up. The fastest mode counts. "of the limit": the least time for the plan's FLOPs and bytes, measured in the same
run, over the step's time; "expected": what `hone explain --cost` predicts, over the step's time."""
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
PRODUCTS = ("r50", "mb2", "dw", "gpt256", "gpt1024", "small")     # of bench_contract, by the first part of their names
MAPS = ("add", "exp", "tanh", "erf", "gelu", "gelu_tanh")


def child(command, first=None, given=None, **options):
    """(peak MiB, standard output) of a process, ended after `first` lines that tell a time; 0 and nothing where it failed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    if given is not None:
        process.stdin.write(given.encode())
        process.stdin.close()
    lines = []
    for line in process.stdout:
        lines.append(line.decode())
        if first and sum("took" in l for l in lines) >= first:
            process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    return (usage.ru_maxrss / 1024, "".join(lines)) if status == 0 or first else (0, "")


# --- hone ---------------------------------------------------------------------------------------------------
def hone_command(args, row, folder, threads):
    base = [args.hone, "bench", "--json", "--threads", str(threads)]
    if args.target:
        base += ["--target", args.target]
    if row in RULES:
        with open(f"{folder}/mine.hone", "w") as f:
            f.write(MINE)
        library = [f"{folder}/mine.hone"] if row == "Mine" else []
        return base + library + ["--update", RULES[row][0], "--shapes", f"{RECIPES}/gpt2_t64.hone", "--steps", "15"]
    path = f"{ROOT}/samples/digits/pretrain.hone" if row == "digits" else f"{RECIPES}/{row}.hone"
    steps = args.steps or NETS[row][1]
    return base + [path] + (["--steps", str(steps)] if steps else [])


def hone_step(args, row, folder, threads):
    """The record of `hone bench`, with seconds, limit, peak and plan (MiB)."""
    _, text = child(hone_command(args, row, folder, threads))
    found = [r for r in map(json.loads, text.splitlines()) if "step" in r or "rule" in r]
    if not found:
        return None
    r = found[0]
    if "rule" in r:
        return dict(seconds=r["seconds"], limit=r["stream_seconds"], expected=0, peak=0, plan=0)
    return dict(seconds=r["step"]["seconds"], limit=r["step"]["limit"], expected=r["step"]["expected"],
                peak=r["peak_bytes"] / 2**20, base=r["base_bytes"] / 2**20, plan=r["planned_bytes"] / 2**20)


# --- the rivals, each mode a process ------------------------------------------------------------------------------
def rival(args, row, mode):
    """(seconds, peak MiB), or None where the mode is not to be had: no compiler for torch.compile, no JAX."""
    if mode == "llm.c":
        return llmc_step(args, row)
    script = [f"{HERE}/jax_steps.py", row] if mode == "jax" else \
        [f"{HERE}/torch_steps.py", row, mode, str(args.threads)]
    env = dict(os.environ, JAX_COMPILATION_CACHE_DIR=os.path.join(tempfile.gettempdir(), "compare-jax"),
               OMP_NUM_THREADS=str(args.threads))
    cores = sorted(os.sched_getaffinity(0))[:args.threads]
    peak, text = child([sys.executable, *script], env=env, preexec_fn=lambda: os.sched_setaffinity(0, cores),
                       stderr=None if args.verbose else subprocess.DEVNULL)
    return (json.loads(text.splitlines()[-1])["seconds"], peak) if text else None


def llmc_step(args, row):
    """The CPU trainer of llm.c (B = 4, T = 64), built in the folder --llmc beside its weights and tokens."""
    if not args.llmc or row != "gpt2_t64":
        return None
    peak, text = child(["./train_gpt2"], cwd=args.llmc, env=dict(os.environ, OMP_NUM_THREADS=str(args.threads)), first=8)
    took = [float(line.split("(took ")[1].split(" ms")[0]) for line in text.splitlines() if "(took " in line]
    return (statistics.median(took[1:]) / 1e3, peak) if len(took) > 1 else None


def modes_of(args, row):
    modes = (NETS[row][0] if row in NETS else RULES[row][1]) + (("jax",) if row != "Mine" else ())
    modes += ("llm.c",) if row == "gpt2_t64" and args.llmc else ()
    return [m for m in modes if not args.modes or m in args.modes.split(",")]


# --- the table ---------------------------------------------------------------------------------------------------
def milliseconds(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def pick(rows, key, of=statistics.median):
    return of(r[key] for r in rows)


def compare(args, row, folder):
    """One row of nets or rules; rounds alternate."""
    name = f"rule.{row}" if row in RULES else row
    ours, theirs = [], {}
    for _ in range(args.rounds):
        one = hone_step(args, row, folder, args.threads)
        if one is None:
            print(f"| {row} | failed |" + 9 * " |", flush=True)
            return
        ours.append(one)
        for mode in [] if args.alone else modes_of(args, row):
            found = rival(args, name, mode)
            if found:
                theirs.setdefault(mode, []).append(found)
    took = pick(ours, "seconds", args.of)
    share, expected = (statistics.median(r[key] / r["seconds"] for r in ours) for key in ("limit", "expected"))
    memory = f"{pick(ours, 'peak'):.0f} | {pick(ours, 'plan'):.0f}" if ours[0]["peak"] else " | "
    print(f"| {row} | {milliseconds(took)} | {100 * share:.0f} % | "
          f"{f'{100 * expected:.0f} %' if expected else ''} | {memory} |", end="")
    if not theirs:
        print(5 * " |", flush=True)
        return
    times = {m: pick(r, 0, args.of) for m, r in theirs.items()}
    best = min(times, key=times.get)
    peak = f"{pick(theirs[best], 1):.0f} | {pick(ours, 'peak') / pick(theirs[best], 1):.2f}" if ours[0]["peak"] else " | "
    others = ", ".join(f"{m} {milliseconds(t)}" for m, t in times.items() if m != best)
    print(f" {best} {milliseconds(times[best])} | {times[best] / took:.2f} | {peak} | {others} |", flush=True)


def scaling(args, row, folder):
    """One thread against all of them."""
    pairs = []
    for _ in range(args.rounds):
        pair = [hone_step(args, row, folder, t) for t in (1, args.threads)]
        if None not in pair:
            pairs.append([p["seconds"] for p in pair])
    if pairs:
        print(f"| {row} | {milliseconds(pick(pairs, 0))} | {milliseconds(pick(pairs, 1))} | "
              f"{statistics.median(a / b for a, b in pairs):.2f} |", flush=True)


def products(args, part):
    """Every product of a network, on one thread and on all, beside the best of oneDNN, MKL and OpenBLAS."""
    for threads in (1, args.threads):
        _, text = child([f"{os.path.dirname(args.hone)}/tests/bench_contract", "json", str(threads), part]
                        + ([args.target] if args.target else []))
        ratios, shares = [], []
        theirs = [None] * len(text.splitlines())
        if not args.alone:
            _, answer = child([sys.executable, f"{HERE}/torch_steps.py", "products", "all", str(threads)],
                              stdin=subprocess.PIPE, given=text, stderr=None if args.verbose else subprocess.DEVNULL)
            theirs = [json.loads(line) for line in answer.splitlines()] or theirs
        for r, other in zip(map(json.loads, text.splitlines()), theirs):
            rate, share = r["flops"] / r["seconds"] / 1e9, r["flops"] / r["seconds"] / r["flops_per_s"]
            shares.append(share)
            ratios += [other["seconds"] / r["seconds"]] if other else []
            beside = f"{other['mode']} {milliseconds(other['seconds'])} | {ratios[-1]:.2f}" if other else " | "
            print(f"| {r['name']} {r['what']} | {threads} | {milliseconds(r['seconds'])} | {rate:.1f} | {100 * share:.0f} % | "
                  f"{r['bytes'] / r['seconds'] / 1e9:.1f} | {beside} |", flush=True)
        least = 0.82 if threads == 1 else 0.75
        print(f"| {part}: {sum(v >= least for v in shares)} of {len(shares)} at {100 * least:.0f} %, "
              f"{sum(v >= 0.95 for v in ratios)} of {len(ratios)} at 0.95 | {threads} | | | | | | |", flush=True)


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


HEADS = {
    "steps": "| row | hone, ms | of the limit | expected | hone, MiB | planned | best rival, ms | rival / hone | rival, MiB | memory | "
             "other rivals |",
    "scaling": "| row | one thread, ms | all, ms | ratio |",
    "products": "| product | threads | hone, ms | Gop/s | of the peak | GB/s | best rival, ms | rival / hone |",
}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("rows", nargs="*", default=[])
    ap.add_argument("--hone", default=os.path.join(ROOT, "build/hone"))
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--steps", type=int, default=0, help="steps of hone (default: by row)")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--target", help="of hone: x86-64-v3 on a machine with AVX-512")
    ap.add_argument("--modes", help="of the rivals, of: eager cl compile cl+compile loop foreach fused jax llm.c")
    ap.add_argument("--llmc", help="folder with llm.c's train_gpt2, its weights and tokens")
    ap.add_argument("--best", dest="of", action="store_const", const=min, default=statistics.median,
                    help="the least time of all rounds instead of the median: where other work comes and goes")
    ap.add_argument("--alone", action="store_true", help="hone only")
    ap.add_argument("--scaling", action="store_true", help="one thread against all")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--verbose", action="store_true")
    args = ap.parse_args()
    args.hone = os.path.abspath(args.hone)
    every = {"nets": list(NETS), "rules": list(RULES), "products": [*PRODUCTS, *MAPS]}
    if args.list:
        for name, rows in every.items():
            print(f"{name}: {', '.join(rows)}")
        return
    rows = [r for name in args.rows or every for r in every.get(name, [name])]
    parts = [r for r in rows if r not in NETS and r not in RULES]    # any beginning of a product's name
    print(f"{cpu()}, {args.threads} threads, target {args.target or 'of this machine'}, load {os.getloadavg()[0]:.1f}, "
          f"{args.rounds} rounds, {'the best' if args.of is min else 'medians'}")
    last = None
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            kind = "products" if row in parts else "scaling" if args.scaling else "steps"
            if kind != last:
                print(f"\n{HEADS[kind]}\n|{(HEADS[kind].count('|') - 1) * '---|'}")
            last = kind
            {"products": lambda: products(args, row), "scaling": lambda: scaling(args, row, folder),
             "steps": lambda: compare(args, row, folder)}[kind]()


if __name__ == "__main__":
    main()
