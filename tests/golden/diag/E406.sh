# A file with both keys of tied tensors, and different values.
head='use nn, losses, optim
data d { train = arrays("d.safetensors"); batch = 4 }'
tail='  step b in d { loss = cross_entropy(model(b.x), b.label) }
  optimizer SGD(lr = 0.1)
  steps = 2'
printf '%s\n' "$head" 'module Net(D) {' \
  '  a, b: Linear(D, D)' '  fn forward(x: [N, D]) -> [N, D] = b(a(x))' '}' \
  'finetune apart {' '  model: Net(4)' "$tail" '  save "apart.safetensors"' '}' >apart.hone
printf '%s\n' "$head" 'module Tied(D) {' \
  '  a: Linear(D, D)' '  param b.bias: [D] = zeros()' '  tie b.weight = a.weight' \
  '  fn forward(x: [N, D]) -> [N, D] = a(x) @ b.weight.T + b.bias' '}' \
  'finetune together {' '  model: Tied(4)' '  load "apart.safetensors"' "$tail" '}' >together.hone
"$hone" run apart.hone --quiet
"$hone" check together.hone
