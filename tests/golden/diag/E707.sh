sed 's/SGD(lr = 0.1)/SGD(lr = 1e30)/' r.hone >fast.hone
"$hone" run fast.hone --quiet --threads 1
