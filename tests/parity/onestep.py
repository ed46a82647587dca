"""One step of a network for pictures beside PyTorch: logits, loss, every gradient, batch-norm statistics.

Random weights and batch-norm statistics written by torch as safetensors, loaded by hone by their own
keys; the gradient is the difference that one step of plain SGD with rate 1 makes.
Gradients of both are compared with PyTorch's in double precision. Those below 1e-4 of the whole are
measured by the whole: a bias before a batch norm has gradient 0, a scale before relu6, a convolution and
a batch norm almost, and float32 gives noise of the size of what cancels. What is left is from elements that
rounding moves over a corner of relu or relu6, in PyTorch as in hone."""
import copy, json, subprocess, tempfile
import numpy as np, torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

RECIPE = """use {file}, nn, losses, optim
data d {{ train = arrays("x.npz"); valid = arrays("x.npz"); batch = {batch} }}
finetune one {{
  model: {constructor}
  load "w.safetensors"
  step b in d {{
    z    = model(b.image)
    loss = cross_entropy(z, b.label)
    metric off   = sqrt(total(sum((z - b.want)^2)) / total(sum(b.want^2)))
    metric valid = total(count(b.label) * cross_entropy(z, b.label)) / total(count(b.label))
  }}
  optimizer SGD(lr = 1.0)
  steps = 1
  save "after.safetensors"
}}
"""


def compare(hone, title, file, constructor, model, size, batch):
    """title: for the report; file, constructor: hone's model; model: the same in PyTorch, 10 classes."""
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.copy_(0.1 * torch.randn(value.shape))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape))
        elif value.ndim == 1 and name.endswith("weight"):
            value.copy_(0.5 + 0.5 * torch.rand(value.shape))
    x, y = torch.randn(batch, 3, size, size), torch.arange(batch) % 10
    with torch.no_grad():
        want = model.eval()(x)
    keep = {k: v.clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    work = tempfile.mkdtemp()
    save_file(keep, f"{work}/w.safetensors")
    np.savez(f"{work}/x.npz", image=x.numpy(), label=y.numpy().astype(np.int32), want=want.numpy())
    open(f"{work}/one.hone", "w").write(RECIPE.format(file=file, constructor=constructor, batch=batch))
    out = subprocess.run([hone, "eval", f"{work}/one.hone", "--weights", f"{work}/w.safetensors", "--json"],
                         check=True, capture_output=True, text=True).stdout
    print(f"{title} {batch}x3x{size}x{size}: logits differ by {json.loads(out)['off']:.1e} of their norm")
    subprocess.run([hone, "run", f"{work}/one.hone", "--out", f"{work}/run", "--quiet"], check=True)
    exact = copy.deepcopy(model).double().train()
    F.cross_entropy(exact(x.double()), y).backward()
    gradient = {name: p.grad for name, p in exact.named_parameters()}
    loss = F.cross_entropy(model.train()(x), y)
    loss.backward()
    ours = next(r["loss"] for r in map(json.loads, open(f"{work}/run/metrics.jsonl")) if "loss" in r)
    print(f"  loss: PyTorch {loss.item():.6f}, hone {ours:.6f}, relative {abs(ours / loss.item() - 1):.1e}")
    after = load_file(f"{work}/after.safetensors")
    whole = sum(g.norm()**2 for g in gradient.values()).sqrt()
    for name, of in (("PyTorch", {k: p.grad for k, p in model.named_parameters()}),
                     ("hone", {k: keep[k] - after[k] for k in gradient})):
        worst = max((((of[k] - g).norm() / g.norm()).item(), k) for k, g in gradient.items() if g.norm() > 1e-4 * whole)
        zero = max([((of[k] / whole).norm().item(), k) for k, g in gradient.items() if g.norm() <= 1e-4 * whole],
                   default=(0, "none"))
        print(f"  gradients of {name}: largest difference {worst[0]:.1e} of the norm ({worst[1]}); "
              f"of small ones {zero[0]:.1e} of the norm of all ({zero[1]})")
    state = model.state_dict()
    off = max(((after[k] - state[k]).norm() / state[k].norm()).item() for k in after if "running" in k)
    print(f"  batch-norm statistics: largest difference {off:.1e} of the norm")
