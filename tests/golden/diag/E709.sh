sed 's/z    = model(b.x)/&\n    w[n] = z[n, int(b.x[n, 0] + 5)]/; s/loss = .*/loss = mean(w)/' r.hone >far.hone
"$hone" run far.hone --quiet --threads 1
