/* What people who come from other languages write, and what is written here: one table. It words
 * help of messages about unknown names only; nothing here has a meaning. Words of syntax (`def`,
 * `class`) are in grammar/message.c. */
#include <string.h>

#include "model/internal.h"

static const struct {
    ForeignKind kind;
    const char *names; /* between blanks */
    const char *help;
} rows[] = {
    {FOREIGN_NAME, " torch np numpy jnp jax tf F math keras ",
     "functions are called by their own names: `relu(x)`, `sqrt(x)`"},
    {FOREIGN_NAME, " self this ", "parts and functions of a module are called by their own names"},
    {FOREIGN_NAME, " range ", "a range is written `for i in 0..10 { … }`"},
    {FOREIGN_NAME, " concat concatenate cat hstack vstack stack ",
     "joined tensors are read with `??`: `y[i < M + N] = a[i] ?? b[i - M]`"},
    {FOREIGN_NAME, " where ", "`select(c, a, b)` is a where c is true, and b elsewhere"},
    {FOREIGN_NAME, " pow square ", "a power is written `x^2`"},
    {FOREIGN_NAME, " matmul dot mm bmm einsum ",
     "a product is written with indices, `y[n, o] = sum[i] x[n, i] * w[i, o]`, or as `x @ w`"},
    {FOREIGN_NAME, " transpose permute ",
     "dimensions are reordered by indices, `y[j, i] = x[i, j]`; a matrix has `x.T`"},
    {FOREIGN_NAME, " view squeeze unsqueeze expand ",
     "shapes change by `reshape(x, [B, T, D])`, or by indices"},
    {FOREIGN_NAME, " Tensor tensor array ",
     "a parameter's type says its shape: `x: [N, D]`, or `x: [..]` for any"},
    {FOREIGN_NAME, " None null nil ", "there is no such value; a choice of parts is an `if`"},
    {FOREIGN_NAME, " True False ", "write `true` or `false`"},
    {FOREIGN_NAME, " detach stop_gradient no_grad ", "`stop(x)` is x without a gradient"},
    {FOREIGN_NAME, " randn rand ",
     "`normal(s)` and `uniform(a, b)` draw in the shape that they stand in"},
    {FOREIGN_NAME, " zeros_like ones_like full arange linspace ",
     "a tensor is defined by its elements: `y[i < N] = 0.0`"},
    {FOREIGN_MEMBER, " shape size ndim ",
     "sizes have names where a shape is declared: `fn f(x: [N, D])`"},
    {FOREIGN_MEMBER, " view reshape squeeze unsqueeze flatten expand ",
     "shapes change by `reshape(x, [B, T, D])`, or by indices"},
    {FOREIGN_MEMBER, " transpose permute t ",
     "dimensions are reordered by indices, `y[j, i] = x[i, j]`; a matrix has `x.T`"},
    {FOREIGN_MEMBER, " sum mean max min prod any all argmax argmin ",
     "reductions are written `sum(x)`, or over an index `y[n] = sum[i] x[n, i]`"},
    {FOREIGN_MEMBER, " detach ", "`stop(x)` is x without a gradient"},
    {FOREIGN_MEMBER, " float int ", "write `float(x)` or `int(x)`"},
    {FOREIGN_KNOB, " learning_rate lr weight_decay decay momentum betas eps beta1 beta2 ",
     "that is an argument of the optimizer: `optimizer AdamW(lr = 1e-3, decay = 0.01)`"},
    {FOREIGN_KNOB, " scheduler schedule lr_scheduler warmup warmup_steps ",
     "a schedule is part of a rate: `optimizer AdamW(lr = 1e-3 * cosine(progress, 0.1))`"},
    {FOREIGN_KNOB, " batch batch_size shuffle train valid test dataset ",
     "batches and files are knobs of `data`: `data d { train = …; batch = 32 }`"},
    {FOREIGN_KNOB, " max_steps iterations num_steps ", "write `steps = …`"},
    {FOREIGN_KNOB, " num_epochs max_epochs n_epochs ", "write `epochs = …`"},
    {FOREIGN_KNOB, " grad_clip gradient_clip max_grad_norm clip_norm ", "write `clip = …`"},
    {FOREIGN_KNOB, " gradient_accumulation accumulate_grad_batches grad_accum ",
     "write `accumulate = …`"},
    {FOREIGN_KNOB, " loss metric metrics criterion ",
     "losses and metrics are computed in the step: `step b in d { loss = … }`"},
    {FOREIGN_KNOB, " early_stopping ", "write `monitor = max(metric)` and `patience = 3`"},
    {FOREIGN_KNOB, " num_workers threads ",
     "`workers` are the threads that decode; `--threads` those that compute"},
    {FOREIGN_KNOB, " device gpu cuda ", "everything runs on this machine's processor"},
    {FOREIGN_KNOB, " amp fp16 bf16 dtype ", "write `precision = bf16`"},
};

const char *foreign_help(ForeignKind kind, Str name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = rows[i].kind == kind && name.len > 0 ? rows[i].names : NULL;
        while (at != NULL && (at = strchr(at, ' ')) != NULL) {
            at++;
            if (strncmp(at, name.ptr, name.len) == 0 && at[name.len] == ' ') {
                return rows[i].help;
            }
        }
    }
    return NULL;
}

/* The word behind `fn`, `module`, `optimizer` or `let` at the start of a line. */
static bool declares(Str line, Str name)
{
    static const char *const words[] = {"fn ", "module ", "optimizer ", "let "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        Str word = str_of(words[i]);
        if (str_starts(line, word) && line.len > word.len + name.len &&
            memcmp(line.ptr + word.len, name.ptr, name.len) == 0) {
            char after = line.ptr[word.len + name.len];
            return after == '(' || after == ' ';
        }
    }
    return false;
}

Str std_home(Str name)
{
    Str file, text;
    for (size_t i = 0; std_file(i, &file, &text); i++) {
        while (text.len > 0) {
            const char *end = memchr(text.ptr, '\n', text.len);
            size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
            if (declares((Str){text.ptr, len}, name)) {
                const char *slash = memchr(file.ptr, '/', file.len);
                size_t skip = slash != NULL ? (size_t)(slash - file.ptr) + 1 : 0;
                return (Str){file.ptr + skip, file.len - skip};
            }
            len += len < text.len;
            text = (Str){text.ptr + len, text.len - len};
        }
    }
    return (Str){0};
}
