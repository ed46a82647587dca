"""Steps of PyTorch for compare.py, one row and mode per process: prints {"seconds", "first"} as JSON.

    tests/bench/torch_steps.py ROW MODE THREADS
    tests/bench/torch_steps.py products all THREADS < RECORDS      per record of bench_contract the best of all modes

Models are those of tests/parity and Hugging Face's transformers; modes joined by +: eager, cl (channels last), compile, and for
update rules loop, foreach, fused. A product is one direction (y, dx, dw) of one shape, by oneDNN, MKL or OpenBLAS (numpy)."""
import json, os, statistics, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../parity"))


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
        from digits import DigitNet
        model, x, y = DigitNet(5).train(), torch.randn(32, 1, 8, 8), torch.randint(0, 5, (32,))
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


def mm_by_numpy(a, b, out):
    import numpy
    a, b, out = a.numpy(), b.numpy(), out.numpy()
    return lambda: numpy.matmul(a, b, out=out)


def torch_product(what, shape, modes):
    """One direction of bench_contract's product: rows × in -> out, a convolution, or depthwise (in = 0)."""
    import torch
    n, size, i, o, taps, stride = shape
    if taps == 1 and stride == 1:
        m = n * size * size
        x, w, d = torch.randn(m, i), torch.randn(o, i), torch.randn(m, o)
        a, b = {"y": (x, w.T), "dx": (d, w), "dw": (d.T, x)}[what]
        if "conv" not in modes:
            out = torch.empty(a.shape[0], b.shape[1])
            return mm_by_numpy(a, b, out) if "openblas" in modes else lambda: torch.mm(a, b, out=out)
    groups = o if i == 0 else 1
    like = dict(memory_format=torch.channels_last) if "cl" in modes else {}
    x = torch.randn(n, i or o, size * stride, size * stride).to(**like)
    w = torch.randn(o, i or 1, taps, taps).to(**like)
    args = ([stride] * 2, [taps // 2] * 2, [1, 1], False, [0, 0], groups)
    if what == "y":
        return lambda: torch.convolution(x, w, None, *args)
    d = torch.randn(n, o, size, size).to(**like)
    mask = [what == "dx", what == "dw", False]
    return lambda: torch.ops.aten.convolution_backward(d, x, w, None, *args, mask)


def torch_map(name):
    import torch
    import torch.nn.functional as F
    a, b = torch.randn(8 << 20), torch.randn(8 << 20)
    out = torch.empty_like(a)
    return {"add": lambda: torch.add(a, b, out=out), "exp": lambda: torch.exp(a, out=out),
            "tanh": lambda: torch.tanh(a, out=out), "erf": lambda: torch.erf(a, out=out),
            "gelu": lambda: torch.ops.aten.gelu.out(a, out=out),
            "gelu_tanh": lambda: torch.ops.aten.gelu.out(a, approximate="tanh", out=out)}[name]


def times(step, limit, least=3):
    """(seconds of the first call, of later ones)"""
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    step()
    seconds, end = [], time.perf_counter() + limit
    while len(seconds) < least or (time.perf_counter() < end and len(seconds) < 200):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return first, seconds


def products():
    """Of maps and products the best of some runs, as bench_contract counts."""
    for record in map(json.loads, sys.stdin):
        shape, found = record.get("shape"), []
        if shape is None:
            modes = ["eager"]
        else:
            plain = shape[4:] == [1, 1]
            modes = (["mkl", "openblas"] if plain else []) + (["cl+conv", "conv"] if shape[1] > 1 or not plain else [])
        for mode in modes:
            step = torch_product(record["what"], shape, mode.split("+")) if shape else torch_map(record["name"])
            found.append((min(times(step, 0.15, 5)[1]), mode))
        best = min(found)
        print(json.dumps({"seconds": best[0], "mode": best[1]}), flush=True)


def main():
    row, mode, threads = sys.argv[1:]
    sys.argv = sys.argv[:1]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = threads
    import torch
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    modes = mode.split("+")
    if row == "products":
        with torch.no_grad():
            products()
        return
    if row.startswith("rule."):
        step = torch_rule(row[5:], mode)
    else:
        model, loss, update = torch_net(row, modes)
        run = torch.compile(model) if "compile" in modes else model

        def step():
            update.zero_grad(set_to_none=True)
            loss(run).backward()
            update.step()
    first, seconds = times(step, 3)
    print(json.dumps({"seconds": statistics.median(seconds), "first": first}))


main()
