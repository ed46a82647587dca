"""GPT-2 and BERT beside Hugging Face's transformers: logits, gradients, losses of ten AdamW steps.

    tests/parity/text.py --hone build/hone [--full] [--models gpt2 bert]
    tests/parity/text.py --fixture              makes the files of e2e/parity_text.sh

Random weights in the file that save_pretrained writes, read by hone under their own keys. The recipes are
tests/data/parity/text.hone; --full takes GPT-2 124M and BERT-base."""
import argparse, json, os, shutil, subprocess, tempfile
import numpy as np, torch, transformers
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../data/parity")
SMALL = dict(words=97, width=32, depth=2, heads=4, context=24)
FULL = dict(gpt2=dict(words=50257, width=768, depth=12, heads=12, context=1024),
            bert=dict(words=30522, width=768, depth=12, heads=12, context=512))


def build(name, s):
    if name == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(
            vocab_size=s["words"], n_positions=s["context"], n_embd=s["width"], n_layer=s["depth"],
            n_head=s["heads"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=0, eos_token_id=0))
    return transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=s["words"], hidden_size=s["width"], intermediate_size=4 * s["width"],
        num_hidden_layers=s["depth"], num_attention_heads=s["heads"], max_position_embeddings=s["context"],
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3))


def shake(model, wide):
    """No weight as it starts out: biases that are 0 and scales that are 1 would hide mistakes."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * ((0.05 if p.ndim == 1 else 0.02) if wide else 0.15))


def samples(name, s, batch, length):
    ids = torch.randint(1, s["words"], (batch, length))   # BERT of transformers gives word 0 no gradient
    if name == "gpt2":
        return dict(ids=ids)
    at, ends = torch.arange(length), torch.tensor([length, length // 2, length - 3])[torch.arange(batch) % 3]
    return dict(ids=ids, mask=(at < ends[:, None]).long(), segment=(at >= ends[:, None] // 3).long(),
                label=torch.arange(batch) % 3)


def run_model(name, model, x):
    if name == "gpt2":
        out = model(input_ids=x["ids"], labels=x["ids"])
    else:
        out = model(input_ids=x["ids"], attention_mask=x["mask"], token_type_ids=x["segment"], labels=x["label"])
    return out.logits, out.loss


def losses(name, model, x, optimizer, steps):
    values = []
    for _ in range(steps):
        loss = run_model(name, model, x)[1]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def prepare(name, s, batch, length, work, wide):
    """Writes NAME.safetensors and NAME.npz; gives the model and the samples."""
    torch.manual_seed(1)
    model = build(name, s)
    shake(model, wide)
    x = samples(name, s, batch, length)
    with torch.no_grad():
        want = run_model(name, model.eval(), x)[0]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        model.save_pretrained(folder)
        shutil.move(f"{folder}/model.safetensors", f"{work}/{name}.safetensors")
    np.savez_compressed(f"{work}/{name}.npz", want=want.numpy(), **{k: v.numpy().astype(np.int32) for k, v in x.items()})
    return model.train(), x


def fixture():
    with open(f"{DATA}/text.txt", "w") as f:
        for name in ("gpt2", "bert"):
            model, x = prepare(name, SMALL, 3, 16, DATA, False)
            start = {k: v.clone() for k, v in model.state_dict().items()}
            rows = (("", torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)),
                    ("_sgd", torch.optim.SGD(model.parameters(), 1e-3)))
            for suffix, optimizer in rows:
                model.load_state_dict(start)
                f.write(f"{name}{suffix} loss " + " ".join(f"{v:.8g}" for v in losses(name, model, x, optimizer, 10)) + "\n")


def ours(folder):
    return [r["loss"] for r in map(json.loads, open(f"{folder}/metrics.jsonl")) if "loss" in r]


def compare(hone, name, s, batch, length, wide):
    work = tempfile.mkdtemp()
    text = open(f"{DATA}/text.hone").read().replace("batch = 3", f"batch = {batch}")
    open(f"{work}/text.hone", "w").write(text)
    for other in ("gpt2", "bert"):      # both are checked, one is run
        if other != name:
            prepare(other, SMALL, batch, 16, work, False)
    model, x = prepare(name, s, batch, length, work, wide)
    sizes = [word for k, v in s.items() for word in (f"--{k}", str(v))]
    call = lambda *args: subprocess.run([hone, *args, *sizes], check=True, capture_output=True, text=True, cwd=work).stdout
    off = json.loads(call("eval", "text.hone", name, "--weights", f"{name}.safetensors", "--json"))["off"]
    print(f"{name} {batch}x{length}: logits differ by {off:.1e} of their norm")
    call("run", "text.hone", f"{name}_sgd", "--lr", "1.0", "--steps", "1", "--quiet", "--out", "sgd")
    before, after = load_file(f"{work}/{name}.safetensors"), load_file(f"{work}/{name}-after.safetensors")
    run_model(name, model, x)[1].backward()
    whole = sum(p.grad.norm()**2 for p in model.parameters()).sqrt()
    rows = [(k, before[k] - after[k], p.grad) for k, p in model.named_parameters()]
    big = max(((a - b).norm() / b.norm()).item() for _, a, b in rows if b.norm() > 1e-4 * whole)
    small = max([((a - b).norm() / whole).item() for _, a, b in rows if b.norm() <= 1e-4 * whole], default=0)
    print(f"  gradients of {len(rows)} tensors: largest difference {big:.1e} of the norm; of small ones {small:.1e} of all")
    call("run", "text.hone", name, "--lr", "1e-3" if not wide else "1e-4", "--quiet", "--out", "adamw")
    adamw = torch.optim.AdamW(model.parameters(), 1e-3 if not wide else 1e-4, weight_decay=0.01)
    theirs = losses(name, model, x, adamw, 10)
    worst = max(abs(a / b - 1) for a, b in zip(ours(f"{work}/adamw"), theirs, strict=True))
    print(f"  losses of 10 AdamW steps, {theirs[0]:.4f} to {theirs[-1]:.4f}: largest relative difference {worst:.1e}")
    shutil.rmtree(work)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--hone")
    ap.add_argument("--fixture", action="store_true")
    ap.add_argument("--full", action="store_true")
    ap.add_argument("--models", nargs="*", default=["gpt2", "bert"])
    args = ap.parse_args()
    if args.fixture:
        return fixture()
    for name in args.models:
        if args.full:
            compare(os.path.abspath(args.hone), name, FULL[name], 3, 64, True)
        else:
            compare(os.path.abspath(args.hone), name, SMALL, 3, 16, False)


if __name__ == "__main__":
    main()
