#!/usr/bin/env python3
"""Twenty steps of every update rule, by its reference in double precision: writes
../data/optim.safetensors, one tensor [20, elements] per case.

Parameters (and, in brackets, those of rules for matrices): () (3) (2, 3) (2, 1, 2, 2)  [(2, 3) (4, 2)],
for SOAP, whose first basis only matrices of full rank determine, (3, 3) (4, 4),
numbered k = 0, 1 …; element i of parameter k starts as ((29 i + 17 k) mod 32 - 15.5) / 16, its gradient
of step t = 1 … 20 is ((37 i + 101 t + 11 k) mod 64 - 31.5) / 32, times 1 + t / 8. A row of a case is all
parameters after a step (or, where it says so, of their states), one behind the other. The calls in hone stand in ../unit/optim.c.

Needs torch, optax, pytorch-optimizer, schedulefree, safetensors.
"""
import os

import jax
import numpy as np
import optax
import pytorch_optimizer
import schedulefree
import torch
from safetensors.numpy import save_file

jax.config.update("jax_enable_x64", True)
STEPS = 20
SHAPES = [(), (3,), (2, 3), (2, 1, 2, 2)]
MATRICES = [(2, 3), (4, 2)]
SQUARES = [(3, 3), (4, 4)]
cases = {}


def first(k, shape):
    i = np.arange(int(np.prod(shape)))
    return (((29 * i + 17 * k) % 32 - 15.5) / 16).reshape(shape)


def gradient(k, shape, t):
    i = np.arange(int(np.prod(shape)))
    return (((37 * i + 101 * t + 11 * k) % 64 - 31.5) / 32 * (1 + t / 8)).reshape(shape)


def by_torch(name, make, shapes=SHAPES, before=None, value=lambda p, optimizer: p.detach()):
    params = [torch.tensor(first(k, s), requires_grad=True) for k, s in enumerate(shapes)]
    optimizers = [make([p]) for p in params]      # one each: a rule knows one tensor
    rows = []
    for t in range(1, STEPS + 1):
        for k, (p, optimizer) in enumerate(zip(params, optimizers)):
            p.grad = torch.tensor(gradient(k, shapes[k], t))
            if before:
                before(p)
            optimizer.step()
        rows.append(np.concatenate([value(p, o).numpy().reshape(-1) for p, o in zip(params, optimizers)]))
    cases[name] = np.array(rows, dtype=np.float32)


def by_optax(name, rule):
    params = [jax.numpy.array(first(k, s)) for k, s in enumerate(SHAPES)]
    states = [rule.init(p) for p in params]
    rows = []
    for t in range(1, STEPS + 1):
        for k, shape in enumerate(SHAPES):
            step, states[k] = rule.update(jax.numpy.array(gradient(k, shape, t)), states[k], params[k])
            params[k] = optax.apply_updates(params[k], step)
        rows.append(np.concatenate([np.asarray(p).reshape(-1) for p in params]))
    cases[name] = np.array(rows, dtype=np.float32)


def larc(p):
    """apex.parallel.LARC: the gradient as torch.optim.SGD then gets it."""
    p_norm, g_norm = p.detach().norm(), p.grad.norm()
    rate = 1e-2 * p_norm / (g_norm + p_norm * 0.05 + 1e-8)
    p.grad = rate * (p.grad + 0.05 * p.detach())


def training(optimizer):
    optimizer.train()
    return optimizer


o = torch.optim
by_torch("sgd", lambda p: o.SGD(p, 0.1, weight_decay=0.1))
by_torch("sgd_momentum", lambda p: o.SGD(p, 0.1, momentum=0.9, weight_decay=0.01))
by_torch("sgd_dampened", lambda p: o.SGD(p, 0.1, momentum=0.8, dampening=0.3))
by_torch("sgd_nesterov", lambda p: o.SGD(p, 0.1, momentum=0.9, nesterov=True))
by_optax("lion", optax.lion(0.01, 0.9, 0.99, weight_decay=0.1))
by_torch("adagrad", lambda p: o.Adagrad(p, 0.1))
by_torch("adagrad_slower", lambda p: o.Adagrad(p, 0.1, lr_decay=0.1, weight_decay=0.1,
                                               initial_accumulator_value=0.5))
by_torch("adadelta", lambda p: o.Adadelta(p, 1.0, weight_decay=0.1))
by_torch("rmsprop", lambda p: o.RMSprop(p, 0.01, weight_decay=0.1))
by_torch("rmsprop_centred", lambda p: o.RMSprop(p, 0.01, momentum=0.9, centered=True))
by_torch("adam", lambda p: o.Adam(p, 0.1, weight_decay=0.1))
by_torch("adam_amsgrad", lambda p: o.Adam(p, 0.1, betas=(0.8, 0.9), amsgrad=True))
by_torch("adamw", lambda p: o.AdamW(p, 0.1, weight_decay=0.1))
by_torch("adamw_amsgrad", lambda p: o.AdamW(p, 0.1, betas=(0.8, 0.9), amsgrad=True))
by_torch("adamax", lambda p: o.Adamax(p, 0.1, weight_decay=0.1))
by_torch("nadam", lambda p: o.NAdam(p, 0.1, weight_decay=0.1))
by_torch("radam", lambda p: o.RAdam(p, 0.1, weight_decay=0.1))
by_torch("radam_short", lambda p: o.RAdam(p, 0.1, betas=(0.9, 0.9)))
by_torch("adan", lambda p: pytorch_optimizer.Adan(p, 0.1, weight_decay=0.1, foreach=False))
by_torch("adafactor", lambda p: o.Adafactor(p, 0.1, weight_decay=0.1, eps=(1.1920929e-7, 1e-3)))
by_torch("adafactor_clipped", lambda p: o.Adafactor(p, 0.5, d=1.5, eps=(1.1920929e-7, 1e-3)))
by_torch("lars", lambda p: o.SGD(p, 0.5, momentum=0.9), before=larc)
by_optax("lamb", optax.lamb(0.1, weight_decay=0.1))
by_torch("schedule_free_sgd", lambda p: training(schedulefree.SGDScheduleFree(
    p, 0.1, momentum=0.9, weight_decay=0.1)))
by_torch("schedule_free_adamw", lambda p: training(schedulefree.AdamWScheduleFree(
    p, 0.1, weight_decay=0.1)))


def averaged(p, optimizer):
    """What optimizer.eval() makes of p: p = 0.9 x + 0.1 z."""
    return p.detach().lerp(optimizer.state[p]["z"], 1 - 1 / 0.9)


by_torch("schedule_free_sgd_x", lambda p: training(schedulefree.SGDScheduleFree(
    p, 0.1, momentum=0.9, weight_decay=0.1)), value=averaged)
by_torch("schedule_free_adamw_x", lambda p: training(schedulefree.AdamWScheduleFree(
    p, 0.1, weight_decay=0.1)), value=averaged)
torch.Tensor.bfloat16 = lambda x: x.clone()       # Muon's products in double precision too
by_torch("muon", lambda p: o.Muon(p, 0.1, momentum=0.9, weight_decay=0.1), MATRICES)



def by_numpy(name, rule, shapes):
    """rule(p) yields, for each gradient sent, the next p."""
    rules = [rule(first(k, s)) for k, s in enumerate(shapes)]
    for r in rules:
        next(r)
    cases[name] = np.array([np.concatenate([r.send(gradient(k, shapes[k], t)).reshape(-1)
                                            for k, r in enumerate(rules)])
                            for t in range(1, STEPS + 1)], dtype=np.float32)


def inverse_root(a, k):
    d, v = np.linalg.eigh(a)
    return v * np.maximum(d, d.max() * 1.1920929e-7) ** (-1 / k) @ v.T


def shampoo(lr, every, eps):
    """Gupta et al. 2018, algorithm 1 for matrices; roots every so many steps, from the first on."""
    def rule(p):
        l, r = eps * np.eye(p.shape[0]), eps * np.eye(p.shape[1])
        g, t = (yield), 0
        while True:
            l, r = l + g @ g.T, r + g.T @ g
            if t % every == 0:
                pl, pr = inverse_root(l, 4), inverse_root(r, 4)
            p, t = p - lr * pl @ g @ pr, t + 1
            g = yield p
    return rule


def soap(lr, b1, b2, decay, every, eps=1e-8):
    """Vyas et al. 2024, algorithm 3: momentum in the parameter's own space, bias corrections as Adam's,
    which count from the second step; the first gradient makes the basis and moves nothing. Signs of
    eigenvectors and of QR drop out."""
    def rule(p):
        g = yield
        l, r = (1 - b2) * g @ g.T, (1 - b2) * g.T @ g
        x, y = np.linalg.eigh(l)[1][:, ::-1], np.linalg.eigh(r)[1][:, ::-1]
        m, v, n = 0 * p, 0 * p, 0
        while True:
            g = yield p
            n += 1
            l, r = b2 * l + (1 - b2) * g @ g.T, b2 * r + (1 - b2) * g.T @ g
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * (x.T @ g @ y) ** 2
            u = x.T @ m @ y / (1 - b1 ** n) / (np.sqrt(v / (1 - b2 ** n)) + eps)
            p = p - lr * (x @ u @ y.T + decay * p)
            if n % every == 0:
                x, y = np.linalg.qr(l @ x)[0], np.linalg.qr(r @ y)[0]
    return rule


def short(lr, b1, b2):
    """Momenta kept in bfloat16 and float16; everything is computed in more and rounded when it is kept."""
    def rule(p):
        m, v, g = 0 * p, 0 * p, (yield)
        while True:
            m = np.asarray((b1 * m + (1 - b1) * g), dtype=jax.numpy.bfloat16).astype(float)
            v = (b2 * v + (1 - b2) * g ** 2).astype(np.float16).astype(float)
            p = p - lr * m / (np.sqrt(v) + 1e-3)
            g = yield p
    return rule


by_numpy("short", short(0.1, 0.887, 0.813), SHAPES)     # no ties
by_numpy("shampoo", shampoo(0.1, 1, 0.5), MATRICES)
by_numpy("shampoo_seldom", shampoo(0.1, 6, 0.5), MATRICES)
by_numpy("soap", soap(0.05, 0.9, 0.8, 0.1, 3), SQUARES)

save_file(cases, os.path.join(os.path.dirname(__file__), "..", "data", "optim.safetensors"))
print(len(cases), "cases")
