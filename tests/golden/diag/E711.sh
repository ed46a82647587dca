sed 's/z    = model(b.x)/&\n    w = sum[i < 3000, j < 3000, k < 3000] sin(float(i + j * k)) * z[0, 0]/; s/loss = .*/loss = w/' \
  r.hone >large.hone
"$hone" grad-check large.hone
