#!/usr/bin/env python3
"""A small network with LoRA by the peft library, in double precision: writes ../data/lora/.

base.safetensors      the network alone: a convolution, two torch.nn.Linear and between them transformers' Conv1D,
                      whose weight is [in, out]
adapter.safetensors   what peft saves of r = 2, alpha = 6 around all four, as it saves it
batch.safetensors     x f32 [8, 6], label i32 [8]
wanted.safetensors    loss; logits; grad.KEY of every tensor of the adapter (peft's keys); merged.KEY of
                      every tensor of the network with the adapter folded in (merge_and_unload)

../unit/lora.c compares. Needs torch, peft, safetensors.
"""
import os
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/lora")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 2, stride=(2, 2), padding=1)
        self.up = torch.nn.Linear(8, 5)
        self.mid = Conv1D(5, 5)
        self.down = torch.nn.Linear(5, 4)

    def forward(self, x):
        x = torch.relu(self.conv(x.reshape(8, 1, 2, 3))).reshape(8, 8)
        return self.down(torch.relu(self.mid(torch.relu(self.up(x)))))


def rounded(shape, generator):
    """Numbers that float32 holds exactly."""
    return torch.randint(-64, 65, shape, generator=generator).double() / 64


def single(tensors):
    return {key: t.detach().float().contiguous() for key, t in tensors.items()}


generator = torch.Generator().manual_seed(1)
net = Net().double()
for p in net.parameters():
    p.data = rounded(p.shape, generator)
save_file(single(net.state_dict()), f"{folder}/base.safetensors")

config = LoraConfig(r=2, lora_alpha=6, lora_dropout=0.0, target_modules=["conv", "up", "mid", "down"])
model = get_peft_model(net, config).double()
for key, p in model.named_parameters():
    if "lora_" in key:
        p.data = rounded(p.shape, generator)
with tempfile.TemporaryDirectory() as saved:
    model.save_pretrained(saved)
    adapter = load_file(f"{saved}/adapter_model.safetensors")
save_file(single(adapter), f"{folder}/adapter.safetensors")

x = rounded((8, 6), generator)
label = torch.randint(0, 4, (8,), generator=generator)
save_file({"x": x.float(), "label": label.int()}, f"{folder}/batch.safetensors")

z = model(x)
loss = torch.nn.functional.cross_entropy(z, label)
loss.backward()
wanted = {"loss": loss.reshape(1), "logits": z}
for key, p in model.named_parameters():
    if p.grad is not None:
        wanted["grad." + key.replace(".default", "")] = p.grad
assert {key for key in wanted if key.startswith("grad.")} == {"grad." + key for key in adapter}
for key, t in model.merge_and_unload().state_dict().items():
    wanted["merged." + key] = t
save_file(single(wanted), f"{folder}/wanted.safetensors")
