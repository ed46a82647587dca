"""Steps of JAX for compare.py: the whole training step under jit, buffers donated; prints {"seconds", "first"} as JSON.

    tests/bench/jax_steps.py ROW

Needs jax and optax. Networks written as one writes them there, images channels last."""
import functools, json, statistics, sys, time

import jax
import jax.numpy as jnp
import numpy as np
import optax

rng = np.random.default_rng(0)


def normal(*shape, scale=0.02):
    return jnp.asarray(rng.standard_normal(shape, dtype=np.float32) * scale)


def linear(i, o):
    return normal(i, o), jnp.zeros(o)


def whole(below, *shape):
    return jnp.asarray(rng.integers(0, below, shape))


def apply(layer, x):
    return x @ layer[0] + layer[1]


def cross_entropy(z, y):
    return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()


# --- convolution nets ---------------------------------------------------------------------------------------
def conv_params(k, i, o, groups=1):
    return normal(k, k, i // groups, o, scale=(2 / (k * k * o)) ** 0.5), jnp.ones(o), jnp.zeros(o)


def conv(x, p, stride=1, groups=1):
    """A convolution and its batch norm."""
    pad = (p[0].shape[0] - 1) // 2
    x = jax.lax.conv_general_dilated(x, p[0], (stride, stride), [(pad, pad)] * 2, feature_group_count=groups,
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
    mean = x.mean((0, 1, 2))
    var = ((x - mean) ** 2).mean((0, 1, 2))
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p[1] + p[2]


def resnet(depth):
    counts, deep = ([3, 4, 6, 3], True) if depth == 50 else ([2, 2, 2, 2], False)
    blocks, strides, i = [], [], 64
    for stage, (count, width) in enumerate(zip(counts, (64, 128, 256, 512))):
        for k in range(count):
            stride, o = 2 if stage > 0 and k == 0 else 1, 4 * width if deep else width
            convs = [conv_params(1, i, width), conv_params(3, width, width), conv_params(1, width, o)] if deep else \
                    [conv_params(3, i, width), conv_params(3, width, width)]
            blocks.append((convs, conv_params(1, i, o) if k == 0 and (stride > 1 or i != o) else None))
            strides.append(stride)
            i = o

    def forward(p, x):
        x = jax.nn.relu(conv(x, p["stem"], 2))
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)])
        for (convs, down), stride in zip(p["blocks"], strides):
            y = x
            for n, c in enumerate(convs):
                y = conv(y, c, stride if n == (1 if deep else 0) else 1)
                y = jax.nn.relu(y) if n + 1 < len(convs) else y
            x = jax.nn.relu(y + (x if down is None else conv(x, down, stride)))
        return apply(p["fc"], x.mean((1, 2)))
    return dict(stem=conv_params(7, 3, 64), blocks=blocks, fc=linear(i, 1000)), forward


def mobilenet_v2():
    blocks, how, i = [], [], 32
    for expand, o, count, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                                     (6, 320, 1, 1)]:
        for k in range(count):
            h = i * expand
            blocks.append((conv_params(1, i, h) if expand > 1 else None, conv_params(3, h, h, h), conv_params(1, h, o)))
            how.append((stride if k == 0 else 1, h))
            i = o

    def forward(p, x):
        x = jax.nn.relu6(conv(x, p["stem"], 2))
        for (up, depth, down), (stride, h) in zip(p["blocks"], how):
            y = x if up is None else jax.nn.relu6(conv(x, up))
            y = conv(jax.nn.relu6(conv(y, depth, stride, h)), down)
            x = x + y if x.shape == y.shape else y
        return apply(p["fc"], jax.nn.relu6(conv(x, p["last"])).mean((1, 2)))
    return dict(stem=conv_params(3, 3, 32), blocks=blocks, last=conv_params(1, 320, 1280), fc=linear(1280, 1000)), forward


# --- transformers -------------------------------------------------------------------------------------------
def norm_params(d=768):
    return jnp.ones(d), jnp.zeros(d)


def norm(x, p):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p[0] + p[1]


def attention(p, x, mask):
    b, t, d = x.shape
    q, k, v = (z.reshape(b, t, 12, d // 12).transpose(0, 2, 1, 3) for z in jnp.split(apply(p["qkv"], x), 3, -1))
    if "lora" in p:                                  # on query and value
        heads = lambda z: z.reshape(b, t, 12, d // 12).transpose(0, 2, 1, 3)
        q = q + heads(2.0 * (x @ p["lora"]["qa"] @ p["lora"]["qb"]))
        v = v + heads(2.0 * (x @ p["lora"]["va"] @ p["lora"]["vb"]))
    s = jax.nn.softmax(jnp.where(mask, q @ k.transpose(0, 1, 3, 2) / 8.0, -1e30))
    return apply(p["proj"], (s @ v).transpose(0, 2, 1, 3).reshape(b, t, d))


def layer(d=768):
    return dict(norm1=norm_params(), qkv=linear(d, 3 * d), proj=linear(d, d), norm2=norm_params(), up=linear(d, 4 * d),
                down=linear(4 * d, d))


def gpt2(t):
    def forward(p, ids):
        x, mask = p["tokens"][ids] + p["places"][:t], jnp.tril(jnp.ones((t, t), bool))
        for l in p["layers"]:
            x = x + attention(l, norm(x, l["norm1"]), mask)
            x = x + apply(l["down"], jax.nn.gelu(apply(l["up"], norm(x, l["norm2"])), approximate=True))
        return (norm(x, p["norm"]) @ p["tokens"].T).reshape(-1, 50257)
    return dict(tokens=normal(50257, 768), places=normal(1024, 768), layers=[layer() for _ in range(12)],
                norm=norm_params()), forward


def bert(row):
    layers = [layer() for _ in range(12)]
    if row == "bert_lora":
        for l in layers:
            l["lora"] = dict(qa=normal(768, 8), qb=jnp.zeros((8, 768)), va=normal(768, 8), vb=jnp.zeros((8, 768)))

    def forward(p, ids):
        x = norm(p["tokens"][ids] + p["places"][:128] + p["segments"][0], p["norm"])
        for l in p["layers"]:
            x = norm(x + attention(l, x, True), l["norm1"])
            x = norm(x + apply(l["down"], jax.nn.gelu(apply(l["up"], x), approximate=False)), l["norm2"])
        return apply(p["classifier"], jnp.tanh(apply(p["pooler"], x[:, 0])))
    return dict(tokens=normal(30522, 768), places=normal(512, 768), segments=normal(2, 768), norm=norm_params(), layers=layers,
                pooler=linear(768, 768), classifier=linear(768, 2)), forward


# --- small nets and rules -----------------------------------------------------------------------------------
def digits():
    def block(i, o):
        return dict(one=conv_params(3, i, o), two=conv_params(3, o, o), side=None if i == o else conv_params(1, i, o))

    def forward(p, x):
        x = jax.nn.relu(conv(x, p["stem"]))
        for b, stride in ((p["block1"], 1), (p["block2"], 2)):
            y = conv(jax.nn.relu(conv(x, b["one"], stride)), b["two"])
            x = jax.nn.relu(y + (x if b["side"] is None else conv(x, b["side"], stride)))
        return apply(p["fc"], x.mean((1, 2)))
    return dict(stem=conv_params(3, 1, 16), block1=block(16, 16), block2=block(16, 32), fc=linear(32, 5)), forward


def mlp():
    return dict(one=linear(64, 128), two=linear(128, 10)), lambda p, x: apply(p["two"], jax.nn.relu(apply(p["one"], x)))


def trained(row, p):
    """By parameter: is it trained?"""
    heads = {"resnet50_head": ("fc",), "bert_head": ("classifier",), "bert_lora": ("classifier", "lora")}.get(row)
    names = lambda path: {getattr(k, "key", None) for k in path}
    return jax.tree_util.tree_map_with_path(lambda path, _: heads is None or bool(names(path) & set(heads)), p)


def net(row):
    """(parameters, forward, x, y, update rule)"""
    adam = optax.adamw(1e-4, weight_decay=0.01)
    if row.startswith("gpt2"):
        t = int(row[6:])
        return *gpt2(t), whole(50257, 4, t), whole(50257, 4 * t), adam
    if row.startswith("bert"):
        return *bert(row), whole(30522, 8, 128), whole(2, 8), adam
    if row == "digits":
        return *digits(), normal(32, 8, 8, 1, scale=1), whole(5, 32), adam
    if row == "mlp":
        return *mlp(), normal(32, 64, scale=1), whole(10, 32), adam
    b = 8 if row.endswith("b8") else 32
    sgd = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(1e-3, momentum=0.9))
    made = mobilenet_v2() if row.startswith("mobilenet") else resnet(50 if "50" in row else 18)
    return *made, normal(b, 224, 224, 3, scale=1), whole(1000, b), sgd


def rule(row):
    """(update rule, parameters, gradients), 124 M in GPT-2's shapes"""
    how = {"SGD": optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(1e-3, momentum=0.9)), "AdamW": optax.adamw(1e-4),
           "Lion": optax.lion(1e-4), "Adafactor": optax.adafactor(1e-3), "Adan": optax.adan(1e-4)}[row]
    p, _ = gpt2(64)
    return how, p, jax.tree_util.tree_map(lambda v: v * 1e-3, p)


def main():
    row = sys.argv[1]
    if row.startswith("rule."):
        update, p, given = rule(row[5:])
        gradient_of = lambda _, given: given
    else:
        p, forward, x, y, update = net(row)
        mask = trained(row, p)
        some, rest = (jax.tree_util.tree_map(lambda v, m: v if m == want else None, p, mask) for want in (True, False))
        both = lambda some, rest: jax.tree_util.tree_map(lambda a, b: b if a is None else a, some, rest, is_leaf=lambda v: v is None)
        p, given = some, (rest, x, y)
        gradient_of = jax.grad(lambda some, given: cross_entropy(forward(both(some, given[0]), given[1]), given[2]))
    state = update.init(p)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, given):
        change, state = update.update(gradient_of(p, given), state, p)
        return optax.apply_updates(p, change), state
    start = time.perf_counter()
    p, state = jax.block_until_ready(step(p, state, given))
    first = time.perf_counter() - start
    p, state = jax.block_until_ready(step(p, state, given))
    seconds, end = [], time.perf_counter() + 3
    while len(seconds) < 3 or (time.perf_counter() < end and len(seconds) < 200):
        start = time.perf_counter()
        p, state = jax.block_until_ready(step(p, state, given))
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds), "first": first}))


main()
